from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile

from hypothesis import given
from hypothesis import strategies as st

from gproc.store.index import RECORD_BYTES, Index, IndexRecord, Kind, decode, encode

positions = st.integers(0, 2**64 - 1)
records = st.builds(IndexRecord, offset=positions, time_ns=positions, kind=st.sampled_from(Kind))
rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(Kind)), max_size=400).map(
    lambda steps: [
        IndexRecord(sum(step[0] for step in steps[: n + 1]), sum(step[1] for step in steps[: n + 1]), step[2])
        for n, step in enumerate(steps)
    ]
)


@given(records)
def test_a_record_reads_back_equal(record: IndexRecord) -> None:
    assert decode(encode(record)) == record


@given(st.binary(max_size=40), st.integers(0, 40))
def test_any_bytes_are_a_record_that_writes_the_same_bytes_or_none(data: bytes, position: int) -> None:
    record = decode(data, position)
    assert record is None or encode(record) == data[position : position + RECORD_BYTES]


@given(rows, st.integers(0, RECORD_BYTES - 1), st.integers(0, 500), st.integers(0, 500))
def test_searches_in_a_row_cut_anywhere_find_what_a_walk_finds(
    row: list[IndexRecord], torn: int, offset: int, time_ns: int
) -> None:
    with TemporaryFile(dir=_memory()) as file:
        file.write(b"".join(map(encode, row)) + bytes(torn))
        file.flush()
        index = Index(file.fileno())
        assert [index.record(number) for number in range(index.count())] == row
        covering = [number for number, record in enumerate(row) if record.offset <= offset]
        assert index.find_offset(offset) == (covering[-1] if covering else 0)
        since = [number for number, record in enumerate(row) if record.time_ns >= time_ns]
        assert index.find_time(time_ns) == (since[0] if since else len(row))


@given(rows, st.data())
def test_a_row_that_grows_while_it_is_read_is_read_whole(row: list[IndexRecord], data: st.DataObject) -> None:
    with TemporaryFile(dir=_memory()) as file:
        index = Index(file.fileno())
        whole = b"".join(map(encode, row))
        written = 0
        while written < len(whole):
            size = data.draw(st.integers(1, 500))
            written += os.pwrite(file.fileno(), whole[written : written + size], written)
            for number in {0, written // RECORD_BYTES - 1, written // RECORD_BYTES}:
                expected = row[number] if 0 <= number < written // RECORD_BYTES else None
                if number >= 0:
                    assert index.record(number) == expected


def _memory() -> Path | None:
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
