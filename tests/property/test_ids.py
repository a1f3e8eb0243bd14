from __future__ import annotations

import re
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from gproc.errors import InvalidArgument
from gproc.model import make_job_id, parse_job_id

milliseconds = st.integers(0, 2**50 - 1)
chances = st.integers(0, 2**130 - 1)


@given(milliseconds, chances, milliseconds, chances)
def test_ids_sort_by_time_and_then_by_chance(one: int, chance: int, other: int, other_chance: int) -> None:
    first = make_job_id(milliseconds=one, chance=chance)
    second = make_job_id(milliseconds=other, chance=other_chance)
    assert (first < second) == ((one, chance) < (other, other_chance))
    assert (first == second) == ((one, chance) == (other, other_chance))


@given(milliseconds, chances)
def test_every_id_that_is_made_is_taken(moment: int, chance: int) -> None:
    job_id = make_job_id(milliseconds=moment, chance=chance)
    assert parse_job_id(job_id) == job_id


@given(st.text() | st.text(alphabet="0123456789abcdefghijklmnopqrstuvwxyz", min_size=34, max_size=38))
def test_i5_any_text_is_a_safe_file_name_or_refused(text: str) -> None:
    with suppress(InvalidArgument):
        assert re.fullmatch("[0-9a-z]{36}", parse_job_id(text))
