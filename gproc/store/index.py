"""The index of an output file: who wrote which byte, and when.

The index is a row of fixed-size records beside the output. Each says: from this offset on, until the next record
begins, the bytes came from this stream and were read at this time; or they were dropped, and the output file has a
hole there. So the merged order, one stream alone, times and gaps are all decided when somebody reads.

A record is 24 bytes, little-endian: offset (8), nanoseconds since 1970 (8), kind (4), CRC-32 of the 20 bytes before
it (4). Offsets and times never fall. After a crash of the machine the row ends at the first record that is not whole.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

__all__ = ["RECORD_BYTES", "Index", "IndexRecord", "Kind", "decode", "encode"]

RECORD_BYTES = 24
_FIELDS = struct.Struct("<QQI")
_SUM = struct.Struct("<I")
_BLOCK_RECORDS = 128


class Kind(IntEnum):
    """What a stretch of the output is."""

    STDOUT = 1
    STDERR = 2
    GAP = 3


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """From `offset` on, the output is of this `kind`, as seen at `time_ns`."""

    offset: int
    time_ns: int
    kind: Kind


def encode(record: IndexRecord) -> bytes:
    """Return the 24 bytes of *record*."""
    fields = _FIELDS.pack(record.offset, record.time_ns, record.kind)
    return fields + _SUM.pack(crc32(fields))


def decode(data: bytes, position: int = 0) -> IndexRecord | None:
    """Return the record at *position* of *data*, or None if there is no whole one."""
    fields = data[position : position + _FIELDS.size]
    if len(data) < position + RECORD_BYTES or crc32(fields) != _SUM.unpack_from(data, position + _FIELDS.size)[0]:
        return None
    offset, time_ns, kind = _FIELDS.unpack(fields)
    return IndexRecord(offset, time_ns, Kind(kind)) if kind in _KINDS else None


_KINDS = frozenset(Kind)


class Index:
    """The records in an open index file that may still grow. Reads blocks of it as needed; keeps one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._block_start = 0
        self._block = b""

    def count(self) -> int:
        """Return how many whole-sized records there are now."""
        return os.fstat(self._fd).st_size // RECORD_BYTES

    def record(self, number: int) -> IndexRecord | None:
        """Return record *number*, or None if there is none yet, or it is damaged."""
        position = (number - self._block_start) * RECORD_BYTES
        if not 0 <= position <= len(self._block) - RECORD_BYTES:
            self._block_start = number - number % _BLOCK_RECORDS
            self._block = os.pread(self._fd, _BLOCK_RECORDS * RECORD_BYTES, self._block_start * RECORD_BYTES)
            position = (number - self._block_start) * RECORD_BYTES
        return decode(self._block, position)

    def find_offset(self, offset: int) -> int:
        """Return the number of the record that covers *offset*; 0 if there is none."""
        return max(0, self._first_beyond(lambda record: record.offset > offset) - 1)

    def find_time(self, time_ns: int) -> int:
        """Return the number of the first record at or after *time_ns*; the count if there is none."""
        return self._first_beyond(lambda record: record.time_ns >= time_ns)

    def _first_beyond(self, is_beyond: Callable[[IndexRecord], bool]) -> int:
        low, high = 0, self.count()
        while low < high:
            middle = (low + high) // 2
            record = self.record(middle)
            if record is None or is_beyond(record):
                high = middle
            else:
                low = middle + 1
        return low
