"""`JobOutput` by its tags: the one message whose bytes are many, as the fast path (`fastpath`) carries it.

A protocol buffer message is a sequence of fields in any order, each a tag (``number << 3 | wire type``) and a value. We
write ``data`` last, so that everything before its bytes is a short head and the bytes themselves are never copied into
a message; and we read it as a slice of what arrived. All other fields and all other messages are the business of
`gproc.wire`: ``gap`` and ``end`` are handed back as they are.

The numbers are those of ``proto/gproc/v1/jobs.proto``; a property test holds them against the generated class.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

__all__ = ["MalformedOutput", "OutputFields", "decode_output", "encode_output_head", "varint"]

_DATA, _STREAM, _OFFSET, _TIME, _GAP, _END = 1, 2, 3, 4, 5, 6
_SECONDS, _NANOS = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BILLION = 1_000_000_000
_LARGEST_VARINT = 10
_U64 = 2**64 - 1


class MalformedOutput(ValueError):
    """These bytes are not a `JobOutput`."""


class OutputFields(NamedTuple):
    """The fields of one `JobOutput`, as they came."""

    data: memoryview
    stream: int
    """Number in the enum `Stream`: 0 not told, 1 stdout, 2 stderr; or one from the future."""
    offset: int
    time_ns: int | None
    """Nanoseconds since 1970; None if absent."""
    gap: bytes | None
    """A `Gap` message to be parsed; None if absent."""
    end: bytes | None
    """A `JobStatus` message to be parsed; None if absent."""


def encode_output_head(*, stream: int, offset: int, time_ns: int | None, data_len: int) -> bytes:
    """Return a `JobOutput` up to the bytes of ``data``, which must follow."""
    head = bytearray()
    if stream:
        head += bytes((_STREAM << 3 | _VARINT,)) + varint(stream)
    if offset:
        head += bytes((_OFFSET << 3 | _VARINT,)) + varint(offset)
    if time_ns is not None:
        moment = _timestamp(time_ns)
        head += bytes((_TIME << 3 | _BYTES, len(moment))) + moment
    if data_len:
        head += bytes((_DATA << 3 | _BYTES,)) + varint(data_len)
    return bytes(head)


def decode_output(message: bytes | bytearray | memoryview) -> OutputFields:
    """Return the fields of a `JobOutput`; ``data`` is a slice of *message*, not a copy.

    Raises `MalformedOutput`. Unknown fields are skipped; of a field that comes twice, the last counts.
    """
    view = memoryview(message)
    data, stream, offset = view[:0], 0, 0
    time_ns: int | None = None
    gap = end = None
    at, size = 0, len(view)
    while at < size:
        tag, at = _read_varint(view, at)
        if tag == _DATA << 3 | _BYTES:
            data, at = _read_bytes(view, at)
        elif tag == _STREAM << 3 | _VARINT:
            stream, at = _read_varint(view, at)
        elif tag == _OFFSET << 3 | _VARINT:
            offset, at = _read_varint(view, at)
        elif tag == _TIME << 3 | _BYTES:
            moment, at = _read_bytes(view, at)
            time_ns = _read_timestamp(moment)
        elif tag == _GAP << 3 | _BYTES:
            part, at = _read_bytes(view, at)
            gap = bytes(part)
        elif tag == _END << 3 | _BYTES:
            part, at = _read_bytes(view, at)
            end = bytes(part)
        else:
            at = _skip(view, at, tag)
    return OutputFields(data=data, stream=stream, offset=offset, time_ns=time_ns, gap=gap, end=end)


@lru_cache(256)  # chunks of one moment follow each other
def _timestamp(time_ns: int) -> bytes:
    seconds, nanos = divmod(time_ns, _BILLION)
    moment = b""
    if seconds:
        moment += bytes((_SECONDS << 3 | _VARINT,)) + varint(seconds & _U64)
    if nanos:
        moment += bytes((_NANOS << 3 | _VARINT,)) + varint(nanos)
    return moment


def _read_timestamp(view: memoryview) -> int:
    seconds = nanos = at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        if tag == _SECONDS << 3 | _VARINT:
            seconds, at = _read_varint(view, at)
        elif tag == _NANOS << 3 | _VARINT:
            nanos, at = _read_varint(view, at)
        else:
            at = _skip(view, at, tag)
    return _signed(seconds) * _BILLION + _signed(nanos)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def varint(number: int) -> bytes:
    """Return a number that is not negative, seven bits to a byte, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    if at < len(view) and view[at] < 0x80:  # as nearly all are
        return view[at], at + 1
    number = shift = 0
    for byte in view[at : at + _LARGEST_VARINT]:
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number > _U64:
                raise MalformedOutput("a number is larger than 64 bits")
            return number, at
        shift += 7
    raise MalformedOutput("a number is cut off or too long")


def _read_bytes(view: memoryview, at: int) -> tuple[memoryview, int]:
    length, at = _read_varint(view, at)
    if length > len(view) - at:
        raise MalformedOutput("a field is longer than the message")
    return view[at : at + length], at + length


def _skip(view: memoryview, at: int, tag: int) -> int:
    if not tag >> 3:
        raise MalformedOutput("a field has number 0")
    match tag & 7:
        case 0:
            _, at = _read_varint(view, at)
        case 1:
            at += 8
        case 2:
            _, at = _read_bytes(view, at)
        case 5:
            at += 4
        case wire_type:
            raise MalformedOutput(f"a field has wire type {wire_type}")
    if at > len(view):
        raise MalformedOutput("a field is longer than the message")
    return at
