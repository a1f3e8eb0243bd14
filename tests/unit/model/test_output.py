from __future__ import annotations

import pickle
import time
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gproc.errors import InvalidArgument
from gproc.model import Chunk, OutputRange, Stream


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset", -1),
        ("offset", 2**63),
        ("offset", 1.5),
        ("follow", "no"),
        ("streams", Stream.STDOUT),
        ("streams", {"stdout"}),
        ("tail_bytes", "10"),
        ("tail_lines", True),
        ("since", 1_700_000_000),
    ],
)
def test_a_range_that_is_not_of_its_kind_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{field}: must be "):
        OutputRange(**{field: value})


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=9))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))),
    ],
)
def test_a_moment_that_utc_does_not_have_is_refused(moment: datetime) -> None:
    with pytest.raises(InvalidArgument, match=r"^since: .* cannot be counted in UTC"):
        OutputRange(since=moment)


@pytest.mark.parametrize(("zone", "moment"), [("JST-9", datetime.min), ("PST8", datetime.max)])  # noqa: DTZ901 - local
def test_so_is_one_that_it_does_not_have_where_we_are(
    zone: str, moment: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        with pytest.raises(InvalidArgument, match=r"^since: .* cannot be counted in UTC"):
            OutputRange(since=moment)
    time.tzset()


def test_a_chunk_whose_data_is_a_view_can_be_copied_and_sent_to_another_process() -> None:
    chunk = Chunk(memoryview(b"data"), Stream.STDERR, 7, datetime(2026, 1, 2, tzinfo=UTC))
    assert pickle.loads(pickle.dumps(chunk)) == deepcopy(chunk) == chunk
