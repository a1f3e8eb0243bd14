"""Appending to an output file without ever making the job wait.

The offset of a byte in the output file is its offset in everything users see. What cannot be kept (the disk is full,
or the job has written as much as it may keep) still counts: the next bytes that can be kept go to their own offset,
a hole in the file stands for what is missing, and the index calls it a gap.

An index record reaches the file before the bytes it is about, and both before they are announced, so a reader that
stays below what was announced never sees a byte without its record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from gproc.store.index import IndexRecord, Kind, encode

__all__ = ["Extent", "OutputWriter"]

_RECORD_EVERY_NS = 10_000_000
_LOOK_EVERY_NS = 100_000_000
_LOOK_EVERY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Extent:
    """How far an output goes.

    The index tells what is below `kept`; from there to `end` everything was dropped.
    """

    end: int = 0
    kept: int = 0
    dropped: int = 0
    """How many bytes were dropped, wherever that was."""


class OutputWriter:
    """The only writer of one job's output and index. Owns neither descriptor."""

    def __init__(self, output_fd: int, index_fd: int, *, cap: int | None = None, reserve: int = 0) -> None:
        self._output_fd = output_fd
        self._index_fd = index_fd
        self._cap = cap
        self._reserve = reserve
        self._index_position = 0
        self._last_kind: Kind | None = None
        self._last_time_ns = 0
        self._looked_ns = 0
        self._bytes_until_look = 0
        self._has_room = True
        self.extent = Extent()

    @property
    def is_full(self) -> bool:
        """Whether the job has written more than it may keep."""
        return self._cap is not None and self.extent.end > self._cap

    def append(self, kind: Kind, data: memoryview | bytes, now_ns: int) -> None:
        """Append *data* at the end, or count it as dropped. Never raises for want of space."""
        size, kept = len(data), 0
        start, settled = self.extent.end, self.extent.kept
        room = self._room(start, size, now_ns)
        if room and self._write_records(kind, now_ns):
            kept = self._write(data if room >= size else memoryview(data)[:room], start, now_ns)
            settled = start + kept
        self.extent = Extent(start + size, settled, self.extent.dropped + size - kept)

    def _room(self, start: int, size: int, now_ns: int) -> int:
        """Return how many of the next *size* bytes may be kept."""
        self._bytes_until_look -= size
        if self._reserve or not self._has_room:
            due = self._bytes_until_look <= 0 and self._has_room
            if due or not 0 <= now_ns - self._looked_ns < _LOOK_EVERY_NS:
                self._look(now_ns)
        if not self._has_room:
            return 0
        return size if self._cap is None else max(0, min(size, self._cap - start))

    def _look(self, now_ns: int) -> None:
        try:
            disk = os.fstatvfs(self._output_fd)
        except OSError:
            # A disk that fails is the same to the job as a full one.
            self._run_out(now_ns)
            return
        free = disk.f_bavail * disk.f_frsize
        self._has_room = free >= self._reserve + (0 if self._has_room else disk.f_frsize)
        self._looked_ns = now_ns
        self._bytes_until_look = min(_LOOK_EVERY_BYTES, free - self._reserve)

    def _write_records(self, kind: Kind, now_ns: int) -> bool:
        """Make the index say what comes next; return whether it could be written."""
        now_ns = max(now_ns, self._last_time_ns)
        start, kept = self.extent.end, self.extent.kept
        records = b""
        if kept < start:
            records = encode(IndexRecord(kept, now_ns, Kind.GAP))
        elif kind is self._last_kind and now_ns - self._last_time_ns < _RECORD_EVERY_NS:
            return True
        records += encode(IndexRecord(start, now_ns, kind))
        if _pwrite(self._index_fd, records, self._index_position) < len(records):
            self._run_out(now_ns)
            return False
        self._index_position += len(records)
        self._last_kind, self._last_time_ns = kind, now_ns
        return True

    def _write(self, data: memoryview | bytes, start: int, now_ns: int) -> int:
        written = _pwrite(self._output_fd, data, start)
        if written < len(data):
            self._run_out(now_ns)
        return written

    def _run_out(self, now_ns: int) -> None:
        """Keep nothing until the next look finds room."""
        self._has_room = False
        self._looked_ns = now_ns


def _pwrite(fd: int, data: memoryview | bytes, offset: int) -> int:
    """Write as much of *data* as there is room for; return how much that was."""
    view, written = memoryview(data), 0
    while written < len(view):
        try:
            written += os.pwrite(fd, view[written:], offset + written)
        except OSError:
            # No space, quota reached, file too large, a failing disk: to the job it is all the same.
            break
    return written
