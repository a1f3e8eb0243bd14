from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from gproc.model import Chunk, Gap, OutputRange, Stream
from gproc.store.index import RECORD_BYTES, IndexRecord, Kind, encode
from gproc.store.reader import CHUNK_BYTES, OutputCursor, WouldBlockError, stored_extent
from gproc.store.writer import Extent, OutputWriter

SECOND = 1_000_000_000
STDOUT, STDERR = Stream.STDOUT, Stream.STDERR


class Output:
    """The output of one job, written by a real writer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dir_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._fds = [os.open(directory / name, flags, 0o600) for name in ("output", "index")]
        self.writer = OutputWriter(*self._fds)
        self.now = SECOND
        self.cursors: list[OutputCursor] = []

    def write(self, kind: Kind, data: bytes) -> None:
        self.now += SECOND
        self.writer.append(kind, data, self.now)

    def drop(self, count: int) -> None:
        """Drop *count* bytes, as if the disk were full."""
        self.writer._has_room, self.writer._looked_ns = False, self.now
        self.writer.append(Kind.STDOUT, bytes(count), self.now)

    def cursor(self, *streams: Stream, **wanted: object) -> OutputCursor:
        cursor = OutputCursor(dir_fd=self.dir_fd, streams=frozenset(streams or Stream))
        self.cursors.append(cursor)
        cursor.seek(OutputRange(**wanted), self.writer.extent)  # type: ignore[arg-type]  # by name
        return cursor

    def read(self, *streams: Stream, **wanted: object) -> list[object]:
        return list(self.events(self.cursor(*streams, **wanted), self.writer.extent))

    @staticmethod
    def events(cursor: OutputCursor, extent: Extent) -> Iterator[object]:
        """Yield what the cursor reads: gaps as they are, chunks as (offset, stream, bytes)."""
        while (event := cursor.read(extent)) is not None:
            yield (event.offset, event.stream, bytes(event.data)) if isinstance(event, Chunk) else event

    def close(self) -> None:
        for cursor in self.cursors:
            cursor.close()
        for fd in (self.dir_fd, *self._fds):
            os.close(fd)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    output = Output(tmp_path)
    yield output
    output.close()


@pytest.fixture
def both(output: Output) -> Output:
    """Offsets: 0 to 4 stdout, 4 to 8 stderr, 8 to 13 dropped, 13 to 18 stdout; one second between."""
    output.write(Kind.STDOUT, b"out\n")
    output.write(Kind.STDERR, b"err\n")
    output.drop(5)
    output.write(Kind.STDOUT, b"more\n")
    return output


def test_d10_both_streams_come_in_their_order_with_gaps_where_they_were(both: Output) -> None:
    assert both.read() == [(0, STDOUT, b"out\n"), (4, STDERR, b"err\n"), Gap(8, 5), (13, STDOUT, b"more\n")]


def test_one_stream_alone_keeps_its_offsets_and_the_gaps(both: Output) -> None:
    assert both.read(STDOUT) == [(0, STDOUT, b"out\n"), Gap(8, 5), (13, STDOUT, b"more\n")]
    assert both.read(STDERR) == [(4, STDERR, b"err\n"), Gap(8, 5)]


@pytest.mark.parametrize(
    ("offset", "first"),
    [
        (2, (2, STDOUT, b"t\n")),
        (4, (4, STDERR, b"err\n")),
        (8, Gap(8, 5)),
        (10, Gap(10, 3)),
        (13, (13, STDOUT, b"more\n")),
        (17, (17, STDOUT, b"\n")),
    ],
)
def test_a_reader_begins_at_any_offset(both: Output, offset: int, first: object) -> None:
    assert both.read(offset=offset)[0] == first


@pytest.mark.parametrize("offset", [18, 19, 1000])
def test_at_or_beyond_the_end_there_is_nothing_yet(both: Output, offset: int) -> None:
    assert both.read(offset=offset) == []


def test_d3_a_reader_at_the_end_goes_on_with_what_comes(output: Output) -> None:
    cursor = output.cursor()
    assert list(output.events(cursor, output.writer.extent)) == []
    output.write(Kind.STDERR, b"one")
    assert list(output.events(cursor, output.writer.extent)) == [(0, STDERR, b"one")]
    output.write(Kind.STDOUT, b"two")
    assert list(output.events(cursor, output.writer.extent)) == [(3, STDOUT, b"two")]


def test_d7_a_reader_that_is_up_to_date_sees_a_gap_grow(output: Output) -> None:
    cursor = output.cursor()
    output.drop(5)
    assert cursor.read(output.writer.extent) == Gap(0, 5)
    output.drop(2)
    assert cursor.read(output.writer.extent) == Gap(5, 2)
    output.write(Kind.STDOUT, b"back")
    assert list(output.events(cursor, output.writer.extent)) == [(7, STDOUT, b"back")]


def test_chunks_that_are_kept_stay_as_they_are_while_others_are_read(output: Output) -> None:
    for byte in (b"a", b"b", b"c"):
        output.write(Kind.STDOUT, byte * CHUNK_BYTES)
    cursor = output.cursor()
    try:
        kept = [cursor.read(output.writer.extent, may_block=False) for _ in range(3)]
    except WouldBlockError:
        pytest.skip("this file system has every reader wait")
    assert [set(bytes(chunk.data)) for chunk in kept if isinstance(chunk, Chunk)] == [{*b"a"}, {*b"b"}, {*b"c"}]


def test_nothing_beyond_what_was_announced_is_read(both: Output) -> None:
    assert list(both.events(both.cursor(), Extent(6, 6))) == [(0, STDOUT, b"out\n"), (4, STDERR, b"er")]


def test_d4_a_large_output_comes_in_large_pieces(output: Output) -> None:
    data = os.urandom(CHUNK_BYTES + 1000)
    output.write(Kind.STDOUT, data)
    assert output.read() == [(0, STDOUT, data[:CHUNK_BYTES]), (CHUNK_BYTES, STDOUT, data[CHUNK_BYTES:])]


def test_reading_without_waiting_for_the_disk_gives_the_same(both: Output) -> None:
    cursor = both.cursor()
    chunk = cursor.read(both.writer.extent, may_block=False)
    assert isinstance(chunk, Chunk)
    assert bytes(chunk.data) == b"out\n"


def test_a_chunk_says_when_it_was_read_from_the_job(both: Output) -> None:
    chunk = both.cursor(offset=4).read(both.writer.extent)
    assert isinstance(chunk, Chunk)
    assert chunk.time == datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "first"), [(0, 0), (2, 0), (2.5, 4), (3, 4), (3.5, 8), (4, 8)])
def test_what_came_since_a_time_begins_at_its_first_record(both: Output, seconds: float, first: int) -> None:
    event = both.read(since=datetime.fromtimestamp(seconds, UTC))[0]
    assert (event.offset if isinstance(event, Gap) else event[0]) == first  # type: ignore[index]  # a chunk is a tuple


def test_since_a_time_in_the_future_there_is_nothing(both: Output) -> None:
    assert both.read(since=datetime.now(UTC)) == []


@pytest.mark.parametrize("nanoseconds", [1, 499, 500, 501, 999])
def test_since_the_time_of_a_chunk_that_chunk_comes_again(output: Output, nanoseconds: int) -> None:
    output.now = 1_700_000_000_123_456_000 + nanoseconds
    output.write(Kind.STDOUT, b"first")
    output.write(Kind.STDOUT, b"second")
    chunk = output.cursor().read(Extent(5, 5))
    assert isinstance(chunk, Chunk)
    assert output.read(since=chunk.time)[0] == (0, STDOUT, b"first")
    assert output.read(since=chunk.time + timedelta(microseconds=1))[0] == (5, STDOUT, b"second")


@pytest.mark.parametrize(("tail", "offset"), [(0, 18), (1, 17), (5, 13), (6, 12), (18, 0), (1000, 0)])
def test_the_last_bytes_are_counted_with_those_that_were_dropped(both: Output, tail: int, offset: int) -> None:
    assert both.cursor(tail_bytes=tail).offset == offset


@pytest.mark.parametrize(("tail", "offset"), [(0, 18), (1, 8), (2, 4), (3, 0), (4, 0)])
def test_the_last_lines_are_those_of_both_streams(both: Output, tail: int, offset: int) -> None:
    assert both.cursor(tail_lines=tail).offset == offset


@pytest.mark.parametrize(("tail", "offset"), [(1, 4), (2, 0)])
def test_the_last_lines_of_one_stream_are_its_own(both: Output, tail: int, offset: int) -> None:
    assert both.cursor(STDOUT, tail_lines=tail).offset == offset


def test_a_last_line_without_an_end_is_a_line(output: Output) -> None:
    output.write(Kind.STDOUT, b"one\ntwo\nthr")
    output.write(Kind.STDERR, b"ee")
    assert [output.cursor(tail_lines=lines).offset for lines in (1, 2, 3)] == [8, 4, 0]


def test_d4_the_last_line_of_an_output_without_one_is_all_of_it(output: Output) -> None:
    output.write(Kind.STDOUT, bytes(300_000))
    assert output.cursor(tail_lines=1).offset == 0


def test_lines_longer_than_what_is_read_at_once_are_found(output: Output) -> None:
    output.write(Kind.STDOUT, b"x" * 70_000 + b"\n" + b"y" * 200_000 + b"\n")
    assert [output.cursor(tail_lines=lines).offset for lines in (1, 2)] == [70_001, 0]


def test_d12_behind_a_torn_record_bytes_belong_to_the_last_whole_one(both: Output) -> None:
    os.truncate(both.directory / "index", 2 * RECORD_BYTES + 5)
    assert both.read() == [(0, STDOUT, b"out\n"), (4, STDERR, b"err\n" + bytes(5) + b"more\n")]


def test_d8_without_an_index_all_bytes_are_shown_as_stdout(both: Output) -> None:
    os.truncate(both.directory / "index", 0)
    assert both.read() == [(0, STDOUT, b"out\nerr\n" + bytes(5) + b"more\n")]
    assert both.read(tail_lines=1) == both.read()


def test_d8_with_garbage_for_an_index_reading_ends_all_the_same(both: Output) -> None:
    (both.directory / "index").write_bytes(os.urandom(10 * RECORD_BYTES))
    assert b"".join(event[2] for event in both.read()) == b"out\nerr\n" + bytes(5) + b"more\n"  # type: ignore[index]


def test_d8_an_output_that_was_cut_off_reads_as_a_gap(both: Output) -> None:
    os.truncate(both.directory / "output", 2)
    assert both.read() == [(0, STDOUT, b"ou"), Gap(2, 2), Gap(4, 4), Gap(8, 5), Gap(13, 5)]


def test_d8_an_output_that_was_deleted_reads_as_a_gap(both: Output) -> None:
    (both.directory / "output").unlink()
    gaps = both.read()
    assert all(isinstance(gap, Gap) for gap in gaps)
    assert sum(gap.bytes for gap in gaps if isinstance(gap, Gap)) == 18


@pytest.mark.parametrize("name", ["output", "index"])
def test_d8_a_link_in_the_place_of_a_file_is_not_followed(both: Output, name: str) -> None:
    (both.directory / name).unlink()
    (both.directory / name).symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        OutputCursor(dir_fd=both.dir_fd)


def test_d11_a_reader_that_had_begun_reads_a_deleted_output_to_its_end(both: Output) -> None:
    cursor = both.cursor(offset=4)
    for name in ("output", "index"):
        (both.directory / name).unlink()
    assert list(both.events(cursor, both.writer.extent)) == [(4, STDERR, b"err\n"), Gap(8, 5), (13, STDOUT, b"more\n")]


def test_without_a_writer_the_files_and_the_last_record_say_how_far_output_goes(both: Output) -> None:
    assert stored_extent(dir_fd=both.dir_fd) == Extent(18, 18)
    assert stored_extent(dir_fd=both.dir_fd, end=30) == Extent(30, 18)
    assert stored_extent(dir_fd=both.dir_fd, end=10) == Extent(10, 10)


def test_records_beyond_the_bytes_that_are_there_are_not_reached(both: Output) -> None:
    with (both.directory / "index").open("ab") as index:
        index.write(encode(IndexRecord(1000, 9 * SECOND, Kind.STDERR)))
    assert both.read()[-1] == (13, STDOUT, b"more\n")


def test_a_search_for_the_last_lines_ends_when_it_is_abandoned(output: Output) -> None:
    output.write(Kind.STDOUT, b"no line has ended")
    os.truncate(output.directory / "output", 2**40)
    cursor = output.cursor()
    search = Thread(target=cursor.seek, args=(OutputRange(tail_lines=1), Extent(2**40, 2**40)), daemon=True)
    search.start()
    search.join(0.1)
    assert search.is_alive()
    cursor.abandon()
    search.join(10)
    assert not search.is_alive()


def test_closing_twice_closes_once(both: Output) -> None:
    cursor = both.cursor()
    cursor.close()
    other = os.open(os.devnull, os.O_RDONLY)
    cursor.close()
    os.close(other)
