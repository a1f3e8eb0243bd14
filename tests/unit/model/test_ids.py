from __future__ import annotations

import pytest

from gproc.errors import InvalidArgument
from gproc.model import make_job_id, parse_job_id
from gproc.model.ids import begins_an_id, is_job_id


def test_an_id_is_36_lower_case_letters_and_digits() -> None:
    assert make_job_id(milliseconds=0, chance=0) == "0" * 36
    assert make_job_id(milliseconds=2**50 - 1, chance=2**130 - 1) == "z" * 36


def test_ids_that_differ_in_one_bit_of_chance_differ() -> None:
    assert len({make_job_id(milliseconds=1, chance=1 << bit) for bit in range(130)}) == 130


def test_an_id_is_taken_as_it_is() -> None:
    job_id = make_job_id(milliseconds=1_700_000_000_000, chance=12345)
    assert parse_job_id(job_id) == job_id


@pytest.mark.parametrize(
    "text",
    ["", "../../x", "%2e%2e", "a" * 35, "a" * 37, "a" * 35 + "\0", "a" * 35 + "\n", "A" * 36, "u" * 36, "٣" * 36],
)
def test_i5_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^id: .* is not a job id"):
        parse_job_id(text)


def test_i5_a_text_of_a_megabyte_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_job_id("a" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_what_an_id_may_begin_with_is_known() -> None:
    job_id = make_job_id(milliseconds=1_700_000_000_000, chance=12345)
    assert is_job_id(job_id)
    assert all(begins_an_id(job_id[:length]) for length in range(1, 37))
    assert not any(is_job_id(job_id[:length]) for length in range(36))
    assert not any(map(begins_an_id, ["", "web-1", "U", "u", "٣", "a" * 37]))
