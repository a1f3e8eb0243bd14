from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproc.model import Chunk, Gap, OutputRange, Stream
from gproc.store.index import Kind
from gproc.store.reader import OutputCursor
from gproc.store.writer import Extent, OutputWriter

KINDS = {Stream.STDOUT: Kind.STDOUT, Stream.STDERR: Kind.STDERR}
FIRST_SECOND = 1_700_000_000
REAL_PWRITE = os.pwrite


@dataclass(frozen=True)
class Append:
    stream: Stream
    data: bytes
    milliseconds: int
    """Time since the append before it."""
    room: int | None
    """Bytes that the disk has room for from now on; None: enough."""


# Few different bytes, so that lines are short and often cut.
pieces = st.binary(min_size=1, max_size=12) | st.text("ab\n", min_size=1, max_size=30).map(str.encode)
appends = st.builds(
    Append,
    stream=st.sampled_from(Stream),
    data=pieces,
    milliseconds=st.sampled_from([0, 1, 9, 10, 11, 99, 100, 101, 1000]),
    room=st.none() | st.none() | st.integers(0, 100),
)
ranges = st.builds(
    OutputRange,
    offset=st.integers(0, 200),
    streams=st.sampled_from([frozenset(Stream), frozenset({Stream.STDOUT}), frozenset({Stream.STDERR})]),
    tail_bytes=st.none() | st.integers(0, 100),
)


@dataclass
class Written:
    """An output that a real writer wrote to a disk with little room, and what it should be."""

    directory: Path
    cap: int | None
    writer: OutputWriter = field(init=False)
    owners: list[tuple[Stream, int] | None] = field(default_factory=list)
    """For each byte of the output: its stream and value, or None if it was dropped."""
    extents: list[Extent] = field(default_factory=list)
    _room: int | None = None
    _now: int = FIRST_SECOND * 1_000_000_000

    @contextmanager
    def opened(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fds = [os.open(self.directory / name, flags, 0o600) for name in ("output", "index")]
        dir_fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.writer = OutputWriter(*fds, cap=self.cap)
            yield dir_fd
        finally:
            for fd in (*fds, dir_fd):
                os.close(fd)

    def append(self, append: Append) -> None:
        self._now += append.milliseconds * 1_000_000
        self._room = append.room
        before = self.writer.extent.dropped
        self.writer.append(KINDS[append.stream], append.data, self._now)
        kept = len(append.data) - (self.writer.extent.dropped - before)
        self.owners += [(append.stream, byte) for byte in append.data[:kept]]
        self.owners += [None] * (len(append.data) - kept)
        self.extents.append(self.writer.extent)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        if self._room is None:
            return REAL_PWRITE(fd, data, offset)
        if not self._room:
            raise OSError(28, "No space left on device")
        written = REAL_PWRITE(fd, data[: self._room], offset)
        self._room -= written
        return written

    def cursor(self, dir_fd: int, wanted: OutputRange, extent: Extent) -> OutputCursor:
        cursor = OutputCursor(dir_fd=dir_fd, streams=wanted.streams)
        cursor.seek(wanted, extent)
        return cursor


@contextmanager
def written(steps: list[Append], cap: int | None = None) -> Iterator[tuple[Written, int]]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as directory, pytest.MonkeyPatch.context() as patch:
        output = Written(Path(directory), cap)
        patch.setattr("gproc.store.writer.os.pwrite", output.pwrite)
        # Small, so that small outputs have many borders.
        patch.setattr("gproc.store.reader.CHUNK_BYTES", 7)
        patch.setattr("gproc.store.reader._SCAN_BYTES", 5)
        with output.opened() as dir_fd:
            for step in steps:
                output.append(step)
            yield output, dir_fd


def read(cursor: OutputCursor, extent: Extent, into: list[tuple[int, Stream | None, int]]) -> None:
    """Read all that *cursor* gives; each byte as (offset, stream, value), None for one that was dropped."""
    while (event := cursor.read(extent)) is not None:
        match event:
            case Chunk():
                into += [(event.offset + n, event.stream, byte) for n, byte in enumerate(bytes(event.data))]
            case Gap():
                assert event.bytes > 0
                into += [(event.offset + n, None, 0) for n in range(event.bytes)]


def expected(output: Written, wanted: OutputRange, begin: int) -> list[tuple[int, Stream | None, int]]:
    """Return what a reader of *wanted* who begins at *begin* should get."""
    found: list[tuple[int, Stream | None, int]] = []
    for offset, owner in enumerate(output.owners):
        if offset >= begin and owner is None:
            found.append((offset, None, 0))
        elif offset >= begin and owner is not None and owner[0] in wanted.streams:
            found.append((offset, *owner))
    return found


@given(st.lists(appends, max_size=12), ranges, st.none() | st.integers(0, 60))
def test_d1_any_range_of_what_was_written_with_failures_anywhere_is_what_the_job_wrote(
    steps: list[Append], wanted: OutputRange, cap: int | None
) -> None:
    with written(steps, cap) as (output, dir_fd):
        end = len(output.owners)
        assert output.writer.extent.end == end
        assert output.writer.extent.dropped == output.owners.count(None)
        found: list[tuple[int, Stream | None, int]] = []
        with output.cursor(dir_fd, wanted, output.writer.extent) as cursor:
            read(cursor, output.writer.extent, found)
        begin = wanted.offset if wanted.tail_bytes is None else max(wanted.offset, end - wanted.tail_bytes)
        assert found == expected(output, wanted, begin)


@given(st.lists(appends, max_size=12), ranges, st.data())
def test_d3_a_reader_who_comes_at_any_time_and_reads_on_at_any_time_misses_nothing(
    steps: list[Append], wanted: OutputRange, data: st.DataObject
) -> None:
    comes = data.draw(st.integers(0, len(steps)))
    with written(steps[:comes]) as (output, dir_fd):
        found: list[tuple[int, Stream | None, int]] = []
        with output.cursor(dir_fd, wanted, output.writer.extent) as cursor:
            begin = cursor.offset
            for step in steps[comes:]:
                if data.draw(st.booleans()):
                    read(cursor, output.writer.extent, found)
                output.append(step)
            read(cursor, output.writer.extent, found)
        assert found == expected(output, wanted, begin)


@given(st.lists(appends, min_size=1, max_size=12), st.data())
def test_d2_a_reader_who_was_cut_off_anywhere_and_resumes_at_its_offset_gets_the_rest(
    steps: list[Append], data: st.DataObject
) -> None:
    with written(steps) as (output, dir_fd):
        whole: list[tuple[int, Stream | None, int]] = []
        with output.cursor(dir_fd, OutputRange(), output.writer.extent) as cursor:
            read(cursor, output.writer.extent, whole)
        cut = data.draw(st.integers(0, len(whole)))
        rest: list[tuple[int, Stream | None, int]] = []
        with output.cursor(dir_fd, OutputRange(offset=cut), output.writer.extent) as cursor:
            read(cursor, output.writer.extent, rest)
        assert whole[:cut] + rest == whole


def last_lines(output: Written, streams: frozenset[Stream], lines: int) -> int:
    """Return where the last *lines* lines of the kept bytes of *streams* begin: the simple way."""
    bytes_of = [(offset, owner[1]) for offset, owner in enumerate(output.owners) if owner and owner[0] in streams]
    if lines == 0:
        return len(output.owners)
    ends = [offset for offset, byte in bytes_of[:-1] if byte == ord("\n")]
    return ends[-lines] + 1 if len(ends) >= lines else 0


@settings(max_examples=200)
@given(
    st.lists(appends, max_size=12), st.sampled_from([*map(frozenset, ([*Stream], [Stream.STDERR]))]), st.integers(0, 12)
)
def test_tail_lines_begin_where_a_walk_over_all_bytes_says(
    steps: list[Append], streams: frozenset[Stream], lines: int
) -> None:
    with (
        written(steps) as (output, dir_fd),
        output.cursor(dir_fd, OutputRange(streams=streams, tail_lines=lines), output.writer.extent) as cursor,
    ):
        assert cursor.offset == last_lines(output, streams, lines)


@given(st.lists(appends, min_size=1, max_size=12), st.integers(0, 4000))
def test_what_came_since_a_time_is_what_was_written_then_or_later(steps: list[Append], milliseconds: int) -> None:
    with written(steps) as (output, dir_fd):
        since = datetime.fromtimestamp(FIRST_SECOND + milliseconds / 1000, UTC)
        with output.cursor(dir_fd, OutputRange(since=since), output.writer.extent) as cursor:
            begin = cursor.offset
        now = position = 0
        for step in steps:
            now += step.milliseconds
            for offset in range(position, position + len(step.data)):
                # Bytes of one stream within 10 ms share a record, and with it their time.
                if output.owners[offset] is not None:
                    assert now >= milliseconds if offset >= begin else now < milliseconds + 10
            position += len(step.data)


@given(st.lists(appends, min_size=1, max_size=8), st.data())
def test_d8_with_a_damaged_index_every_byte_still_comes_once_and_in_order(
    steps: list[Append], data: st.DataObject
) -> None:
    with written(steps) as (output, dir_fd):
        index = output.directory / "index"
        damaged = bytearray(index.read_bytes())
        for position in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=3)):
            if damaged:
                damaged[position] ^= data.draw(st.integers(1, 255))
        index.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
        found: list[tuple[int, Stream | None, int]] = []
        with output.cursor(dir_fd, OutputRange(), output.writer.extent) as cursor:
            read(cursor, output.writer.extent, found)
        assert [offset for offset, _, _ in found] == list(range(len(output.owners)))
        for (_, stream, byte), owner in zip(found, output.owners, strict=True):
            assert stream is None or owner is None or byte == owner[1]
