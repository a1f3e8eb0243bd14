"""Look at a message before anything is made of it.

betterproto's decoder trusts its input: unknown fields cost quadratic time, wrong wire types and cut-off values pass or
end in any exception, and every element costs microseconds. Our own readers trust theirs, too. So each message is
scanned first, in one pass:

- every tag, length and varint lies within the message, and varints within 64 bits (32 where the field says so);
- every known field comes as its type says, and text is UTF-8;
- moments and durations are such as Python can express;
- there are at most so many bytes, and so many elements.

Fields with unknown numbers are cut out, so that a newer client can talk to an older server and the decoder never sees
them. The schema is a tree of fixed depth, so each byte is looked at and copied at most that many times: linear.
"""

from __future__ import annotations

from typing import NamedTuple

from gproc.errors import InvalidArgument
from gproc.transport.job_output import varint
from gproc.wire.schema import Field, Kind, Schema

__all__ = ["Bounds", "scan"]

_FIXED_SIZES = {Kind.FIXED64: 8, Kind.FIXED32: 4}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LARGEST_FIELD_NUMBER = 2**29 - 1
_64_BITS = 2**64 - 1


class Bounds(NamedTuple):
    """How large a message may be."""

    size: int
    """In bytes."""
    elements: int
    """In items of lists, at every depth, known or not; other fields count for several, as decoding them costs more."""


def scan(data: bytes, schema: Schema, bounds: Bounds) -> bytes:
    """Return *data* without unknown fields, fit for the decoder; raises `InvalidArgument`, and nothing else."""
    if len(data) > bounds.size:
        raise InvalidArgument(schema.name, f"{len(data)} bytes are more than a message may have ({bounds.size})")
    changed = _Scan(data, bounds.elements).message(schema, 0, len(data), "")
    return data if changed is None else changed


class _Scan:
    """One pass over one message."""

    def __init__(self, data: bytes, elements: int) -> None:
        self._data = data
        self._most_elements = elements
        self._elements = elements
        self._numbers: dict[int, int] = {}
        """The last varint of each field of the innermost message, by field number."""

    def message(self, schema: Schema, pos: int, end: int, path: str) -> bytes | None:
        """Scan one message; return it without its unknown fields, or None if it has none."""
        kept: list[bytes] = []
        copied = pos
        where = path or schema.name
        while pos < end:
            start = pos
            tag, pos = self._varint(pos, end, where)
            number, wire_type = tag >> 3, tag & 7
            field = schema.fields.get(number)
            if field is None:
                self._spend(where)
                pos = self._skip(number, wire_type, pos, end, where)
                kept.append(self._data[copied:start])
                copied = pos
                continue
            pos, changed = self._field(field, tag, pos, end, f"{path}.{field.name}" if path else field.name)
            if changed is not None:
                kept += (self._data[copied:start], varint(tag), varint(len(changed)), changed)
                copied = pos
        if not kept:
            return None
        kept.append(self._data[copied:end])
        return b"".join(kept)

    def _field(self, field: Field, tag: int, pos: int, end: int, path: str) -> tuple[int, bytes | None]:
        """Scan the value of a known field; return where it ends, and what it becomes if that is something else."""
        number, wire_type = tag >> 3, tag & 7
        if wire_type != field.wire_type:
            if field.is_packable and wire_type == _LENGTH:
                self._spend(path, field.cost)  # an empty one costs the decoder as much as any
                return self._packed(field, pos, end, path), None
            raise InvalidArgument(path, f"is sent as wire type {wire_type}, and is {field.wire_type}")
        self._spend(path, field.cost)
        if field.kind is Kind.VARINT:
            value, pos = self._varint(pos, end, path, field.largest)
            self._numbers[number] = value
            return pos, None
        if field.kind in _FIXED_SIZES:
            return _within(pos + _FIXED_SIZES[field.kind], end, path), None
        pos, stop = self._length(pos, end, path)
        if field.message is not None:
            return stop, self._child(field.message, pos, stop, path)
        if field.kind is Kind.TEXT:
            self._text(pos, stop, path)
        return stop, None

    def _child(self, schema: Schema, pos: int, end: int, path: str) -> bytes | None:
        self._numbers = {}
        changed = self.message(schema, pos, end, path)
        if schema.seconds is not None and schema.nanos is not None:
            seconds, nanos = _signed(self._numbers.get(1, 0), 64), _signed(self._numbers.get(2, 0), 32)
            if seconds not in schema.seconds or nanos not in schema.nanos:
                raise InvalidArgument(path, f"{seconds} s and {nanos} ns are out of range")
            if not seconds and 0 < abs(nanos) < schema.least_nanos:
                raise InvalidArgument(path, f"{nanos} ns are too little; the least is {schema.least_nanos} ns")
        return changed

    def _packed(self, field: Field, pos: int, end: int, path: str) -> int:
        pos, stop = self._length(pos, end, path)
        while pos < stop:
            self._spend(path)
            if field.kind is Kind.VARINT:
                _, pos = self._varint(pos, stop, path, field.largest)
            else:
                pos = _within(pos + _FIXED_SIZES[field.kind], stop, path)
        return stop

    def _skip(self, number: int, wire_type: int, pos: int, end: int, where: str) -> int:
        """Return where the value of an unknown field ends."""
        if not 1 <= number <= _LARGEST_FIELD_NUMBER:
            raise InvalidArgument(where, f"has a field with the impossible number {number}")
        if wire_type == _VARINT:
            return self._varint(pos, end, where)[1]
        if wire_type == _LENGTH:
            return self._length(pos, end, where)[1]
        if wire_type in (_FIXED64, _FIXED32):
            return _within(pos + (8 if wire_type == _FIXED64 else 4), end, where)
        raise InvalidArgument(where, f"has a field of wire type {wire_type}, which proto3 does not know")

    def _length(self, pos: int, end: int, where: str) -> tuple[int, int]:
        """Read a length; return where the value begins and where it ends."""
        length, pos = self._varint(pos, end, where)
        return pos, _within(pos + length, end, where)

    def _varint(self, pos: int, end: int, where: str, largest: int = _64_BITS) -> tuple[int, int]:
        """Read a number; return it and where it ends."""
        value = shift = 0
        data = self._data
        while pos < end and shift < 70:
            byte = data[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > largest:
                    raise InvalidArgument(where, f"{value} is more than {largest}")
                return value, pos
            shift += 7
        raise InvalidArgument(where, "ends in the middle of a number" if pos >= end else "has a number that never ends")

    def _text(self, pos: int, end: int, path: str) -> None:
        try:
            str(self._data[pos:end], "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidArgument(path, f"is not UTF-8: {error.reason} at byte {error.start}") from None

    def _spend(self, where: str, cost: int = 1) -> None:
        self._elements -= cost
        if self._elements < 0:
            most = self._most_elements
            raise InvalidArgument(
                where, f"the message has more than {most} elements, all its lists and maps together; send fewer"
            )


def _within(pos: int, end: int, where: str) -> int:
    if pos > end:
        raise InvalidArgument(where, f"is cut off: {pos - end} bytes are missing")
    return pos


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number
