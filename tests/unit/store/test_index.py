from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gproc.store.index import RECORD_BYTES, Index, IndexRecord, Kind, decode, encode

RECORD = IndexRecord(offset=12345678901234567890, time_ns=1_700_000_000_000_000_001, kind=Kind.STDERR)


@pytest.fixture
def index_of(tmp_path: Path) -> Iterator[Callable[[bytes], Index]]:
    opened: list[int] = []

    def make(data: bytes) -> Index:
        path = tmp_path / f"index{len(opened)}"
        path.write_bytes(data)
        opened.append(os.open(path, os.O_RDWR))
        return Index(opened[-1])

    yield make
    for fd in opened:
        os.close(fd)


def row(*offsets: int) -> bytes:
    return b"".join(encode(IndexRecord(offset, offset * 10, Kind.STDOUT)) for offset in offsets)


def test_a_record_is_24_bytes_and_reads_back_equal() -> None:
    assert len(encode(RECORD)) == RECORD_BYTES == 24
    assert decode(encode(RECORD)) == RECORD
    assert decode(b"before" + encode(RECORD) + b"after", 6) == RECORD


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Kind.STDOUT, "02010000000000000403000000000000010000004257a130"),
        (Kind.STDERR, "0201000000000000040300000000000002000000acf81422"),
        (Kind.GAP, "0201000000000000040300000000000003000000c99fa89a"),
    ],
)
def test_a_record_that_an_earlier_version_wrote_is_read(kind: Kind, written: str) -> None:
    assert decode(bytes.fromhex(written)) == IndexRecord(0x0102, 0x0304, kind)


@pytest.mark.parametrize("length", range(RECORD_BYTES))
def test_d12_a_torn_record_is_none(length: int) -> None:
    assert decode(encode(RECORD)[:length]) is None


@pytest.mark.parametrize("bit", range(RECORD_BYTES * 8))
def test_a_flipped_bit_is_seen(bit: int) -> None:
    flipped = int.from_bytes(encode(RECORD), "little") ^ (1 << bit)
    assert decode(flipped.to_bytes(RECORD_BYTES, "little")) is None


def test_a_kind_of_the_future_is_none() -> None:
    data = encode(IndexRecord(1, 2, 99))  # type: ignore[arg-type]  # one that is not known yet
    assert decode(data) is None


def test_an_empty_index_has_no_record_and_every_offset_is_before_the_first(index_of: Callable[[bytes], Index]) -> None:
    index = index_of(b"")
    assert (index.count(), index.record(0), index.find_offset(5), index.find_time(5)) == (0, None, 0, 0)


def test_the_record_that_covers_an_offset_is_found_in_an_index_of_many_blocks(
    index_of: Callable[[bytes], Index],
) -> None:
    index = index_of(row(*range(0, 10_000, 10)))
    assert index.count() == 1000
    for offset in (0, 1, 9, 10, 1279, 1280, 5555, 9990, 9999, 20_000):
        assert index.find_offset(offset) == min(offset // 10, 999)


def test_of_records_at_one_offset_the_last_one_counts(index_of: Callable[[bytes], Index]) -> None:
    assert index_of(row(0, 5, 5, 5, 9)).find_offset(5) == 3


def test_the_first_record_at_or_after_a_time_is_found(index_of: Callable[[bytes], Index]) -> None:
    index = index_of(row(0, 10, 20))
    assert [index.find_time(time_ns) for time_ns in (-1, 0, 1, 100, 101, 200, 201)] == [0, 0, 1, 1, 2, 2, 3]


def test_d12_the_row_ends_at_the_first_record_that_is_not_whole(index_of: Callable[[bytes], Index]) -> None:
    whole = row(0, 10, 20, 30)
    index = index_of(whole[: 2 * RECORD_BYTES + 7])
    assert index.count() == 2
    assert index.record(1) == IndexRecord(10, 100, Kind.STDOUT)
    assert index.record(2) is None
    assert index.find_offset(25) == 1


def test_a_record_that_was_torn_when_it_was_first_read_is_seen_once_it_is_whole(
    index_of: Callable[[bytes], Index],
) -> None:
    index = index_of(row(0)[:-1])
    assert index.record(0) is None
    os.pwrite(index._fd, row(0), 0)
    assert index.record(0) == IndexRecord(0, 0, Kind.STDOUT)
