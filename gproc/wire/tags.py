"""Fields by their tags: the few kinds of value that the messages of Gproc are made of, written and read.

A field is a tag (``number << 3 | wire type``) and a value. In proto3 one that has its default is left out, unless its
presence means something. Reading relies on `prescan`: no length, varint or text that reaches this module is wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gproc.transport.job_output import varint

__all__ = [
    "double",
    "duration",
    "entries",
    "field",
    "fields_of",
    "moment",
    "number",
    "numbers",
    "present",
    "read_double",
    "read_entry",
    "read_int32",
    "read_moment",
    "read_text",
    "text",
    "texts",
]

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_64_BITS = 2**64 - 1
_DOUBLE = struct.Struct("<d")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLION = 1_000_000


def field(tag: int, data: bytes) -> bytes:
    """Return field number *tag* that holds *data*: text, bytes, or a message."""
    return varint(tag << 3 | _LENGTH) + varint(len(data)) + data


def text(tag: int, value: str) -> bytes:
    """Return a text, nothing if it is empty; what UTF-8 cannot express is escaped."""
    return field(tag, _utf8(value)) if value else b""


def texts(tag: int, values: Iterable[str]) -> bytes:
    """Return a list of texts."""
    return b"".join(field(tag, _utf8(value)) for value in values)


def entries(tag: int, values: Mapping[str, str]) -> bytes:
    """Return a map of texts."""
    return b"".join(field(tag, text(1, key) + text(2, value)) for key, value in values.items())


def number(tag: int, value: int) -> bytes:
    """Return an integer, a truth or an enumeration, nothing if it is 0."""
    return present(tag, value) if value else b""


def numbers(tag: int, values: Iterable[int]) -> bytes:
    """Return a list of enumerations, packed into one block."""
    block = b"".join(varint(value) for value in values)
    return field(tag, block) if block else b""


def present(tag: int, value: int | None) -> bytes:
    """Return an integer that is told though it be 0; nothing for None."""
    return b"" if value is None else varint(tag << 3 | _VARINT) + varint(value & _64_BITS)


def double(tag: int, value: float) -> bytes:
    """Return a floating-point number, nothing if it is 0."""
    return varint(tag << 3 | _FIXED64) + _DOUBLE.pack(value) if value else b""


def moment(tag: int, time: datetime | None) -> bytes:
    """Return a ``Timestamp``, nothing for None; a time without a zone is local time, as everywhere in Python."""
    if time is None:
        return b""
    microseconds = ((time if time.tzinfo else time.astimezone(UTC)) - _EPOCH) // _MICROSECOND
    return _seconds(tag, microseconds)


def duration(tag: int, time: timedelta | None) -> bytes:
    """Return a ``Duration``, which must not be negative; nothing for None."""
    return b"" if time is None else _seconds(tag, time // _MICROSECOND)


def _seconds(tag: int, microseconds: int) -> bytes:
    seconds, fraction = divmod(microseconds, _MILLION)
    return field(tag, number(1, seconds) + number(2, fraction * 1000))


def _utf8(value: str) -> bytes:
    return value.encode(errors="backslashreplace")


def fields_of(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number and value of each field: an integer, or bytes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        size, at = _read_varint(data, at) if kind == _LENGTH else (8, at)
        yield tag >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while (byte := data[at]) >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


def read_text(data: bytes) -> str:
    """Return the text in a field."""
    return str(data, "utf-8")


def read_entry(data: bytes) -> tuple[str, str]:
    """Return one entry of a map of texts."""
    entry = dict(fields_of(data))
    return read_text(entry.get(1, b"")), read_text(entry.get(2, b""))


def read_int32(value: int) -> int:
    """Return a number with its sign."""
    return ((value & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


def read_double(data: bytes) -> float:
    """Return a floating-point number."""
    value: float = _DOUBLE.unpack(data)[0]
    return value


def read_moment(data: bytes) -> datetime:
    """Return the moment in a ``Timestamp``."""
    parts = dict(fields_of(data))
    seconds = parts.get(1, 0)
    if seconds >> 63:
        seconds -= 1 << 64
    return _EPOCH + timedelta(seconds=seconds, microseconds=parts.get(2, 0) // 1000)
