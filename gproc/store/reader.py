"""Reading an output file: a cursor is a position, replay and live are the same loop.

A cursor never waits and holds nothing but two descriptors, one block of the index, its position and the stretch it lies
in, so any number of readers cost the writer nothing, and a job that was removed can be read to its end by those who had
begun.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from gproc.model import Chunk, Gap, OutputRange, Stream
from gproc.store.index import Index, Kind
from gproc.store.memory import ChunkMemory
from gproc.store.writer import Extent

__all__ = ["CHUNK_BYTES", "OutputCursor", "WouldBlockError", "stored_extent"]

CHUNK_BYTES = 512 * 1024
_SCAN_BYTES = 64 * 1024
_memory = ChunkMemory(CHUNK_BYTES)
_STREAMS = {Kind.STDOUT: Stream.STDOUT, Kind.STDERR: Stream.STDERR}
_KINDS = {stream: kind for kind, stream in _STREAMS.items()}


class WouldBlockError(Exception):
    """The bytes are not in memory: read again where waiting for the disk hurts nobody."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Bytes of one kind, up to `end`."""

    kind: Kind
    time: datetime
    end: int


class OutputCursor:
    """A position in one job's output. Use as a context manager, or `close` it."""

    def __init__(self, *, dir_fd: int, streams: frozenset[Stream] = frozenset(Stream)) -> None:
        self.offset = 0
        self._open = False
        self._is_abandoned = False
        self._wanted = frozenset(_KINDS[stream] for stream in streams)
        self._output_fd = _open(dir_fd, "output")
        try:
            self._index_fd = _open(dir_fd, "index")
        except BaseException:
            os.close(self._output_fd)
            raise
        self._index = Index(self._index_fd)
        self._record = 0
        self._known: _Stretch | None = None  # the last whole one, which is going to stay as it is
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors; doing it again does nothing."""
        if self._open:
            self._open = False
            os.close(self._output_fd)
            os.close(self._index_fd)

    def abandon(self) -> None:
        """Have a `seek` that is going on in another thread end soon; who does so forgets the cursor, and it closes."""
        self._is_abandoned = True

    def __del__(self) -> None:
        # One that was opened in a thread for somebody who was cancelled meanwhile has no other owner.
        self.close()

    def seek(self, wanted: OutputRange, extent: Extent) -> None:
        """Go to where *wanted* begins in what there is now. Lines are looked for from the end, as far as it takes."""
        self.offset = wanted.offset
        if wanted.since is not None:
            self.offset = max(self.offset, self._offset_at(wanted.since, extent))
        if wanted.tail_bytes is not None:
            self.offset = max(self.offset, extent.end - wanted.tail_bytes)
        if wanted.tail_lines is not None:
            self.offset = max(self.offset, self._offset_of_last_lines(wanted.tail_lines, extent))
        self._record = self._index.find_offset(self.offset)
        self._known = None

    def read(self, extent: Extent, *, may_block: bool = True, at_most: int = CHUNK_BYTES) -> Chunk | Gap | None:
        """Return what comes next within *extent* and go past it, *at_most* so many bytes; None at its end.

        Raises `WouldBlockError` if the disk would have to be waited for and *may_block* is not set, and `OSError` if
        the disk fails.
        """
        while self.offset < extent.end:
            if self.offset >= extent.kept:
                return self._gap(extent.end)
            stretch = self._stretch(extent.kept)
            if stretch.kind is Kind.GAP:
                return self._gap(stretch.end)
            if stretch.kind not in self._wanted:
                self.offset = stretch.end
                continue
            data = self._pread(min(CHUNK_BYTES, at_most, stretch.end - self.offset), self.offset, may_block)
            if not data:
                return self._gap(stretch.end)
            return self._chunk(data, stretch)
        return None

    def _gap(self, end: int) -> Gap:
        gap = Gap(self.offset, end - self.offset)
        self.offset = end
        return gap

    def _chunk(self, data: bytes | memoryview, stretch: _Stretch) -> Chunk:
        chunk = Chunk(data, _STREAMS[stretch.kind], self.offset, stretch.time)
        self.offset += len(data)
        return chunk

    def _stretch(self, kept: int) -> _Stretch:
        """Return the stretch that the offset lies in."""
        if self._known is not None and self.offset < self._known.end:
            return self._known
        record = self._index.record(self._record)
        if record is None or record.offset > self.offset:
            # A damaged index does not say whose these bytes are: they are shown, as standard output.
            return _Stretch(Kind.STDOUT, _time(0), kept if record is None else min(kept, record.offset))
        following = self._index.record(self._record + 1)
        while following is not None and following.offset <= self.offset:
            self._record += 1
            record, following = following, self._index.record(self._record + 1)
        end = kept if following is None else min(kept, following.offset)
        stretch = _Stretch(record.kind, _time(record.time_ns), end)
        if following is not None and following.offset <= kept:
            self._known = stretch
        return stretch

    def _pread(self, size: int, offset: int, may_block: bool) -> bytes | memoryview:
        if may_block:
            return os.pread(self._output_fd, size, offset)
        place = _memory.take(size)
        try:
            count = os.preadv(self._output_fd, [place], offset, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            raise WouldBlockError from None
        return place[:count]

    def _offset_at(self, since: datetime, extent: Extent) -> int:
        record = self._index.record(self._index.find_time(round(since.timestamp() * 1e6) * 1000))
        return extent.end if record is None else min(record.offset, extent.end)

    def _offset_of_last_lines(self, lines: int, extent: Extent) -> int:
        """Return where the last *lines* lines of the wanted streams begin."""
        if lines == 0:
            return extent.end
        breaks_left = lines
        last = True
        for start, data in self._backwards(extent):
            position = len(data)
            while (found := data.rfind(b"\n", 0, position)) >= 0:
                if not (last and found == len(data) - 1):
                    breaks_left -= 1
                    if breaks_left == 0:
                        return start + found + 1
                last = False
                position = found
            last = False
        return 0

    def _backwards(self, extent: Extent) -> Iterator[tuple[int, bytes]]:
        """Yield the wanted pieces from the last to the first, as (offset, bytes)."""
        end = extent.kept
        number = self._index.find_offset(end - 1)
        while number >= 0 and end > 0:
            record = self._index.record(number)
            number -= 1
            if record is None or record.offset >= end:
                continue
            if record.kind in self._wanted:
                for start in range(end - _SCAN_BYTES, record.offset - _SCAN_BYTES, -_SCAN_BYTES):
                    if self._is_abandoned:
                        return
                    begin = max(start, record.offset)
                    yield begin, os.pread(self._output_fd, min(start + _SCAN_BYTES, end) - begin, begin)
            end = record.offset


def stored_extent(*, dir_fd: int, end: int | None = None) -> Extent:
    """Return how far the files go, when no writer is left to tell; *end* is what its last record said."""
    size = os.stat("output", dir_fd=dir_fd, follow_symlinks=False).st_size
    return Extent(size, size) if end is None else Extent(end, min(size, end))


def _time(nanoseconds: int) -> datetime:
    # Rounded down, so that whoever asks for what came since then gets the chunk, too.
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC)


def _open(dir_fd: int, name: str) -> int:
    try:
        # Should a named pipe be in its place, nobody waits for whoever would write to it.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except FileNotFoundError:
        # The job was lost before it was executed, or somebody deleted the file: what is missing reads as a gap.
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
