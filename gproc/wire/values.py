"""Statuses and pages of them, between values and bytes without a message in between.

betterproto takes a millisecond to make, write or read one status, and a page has hundreds. What is here does the same
for the few messages of which there are many: fields in the order of their numbers, absent if they are as proto3 has
them by default. Reading relies on `prescan`: no length, varint or text that reaches this module is wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gproc.model import JobStatus, Usage
from gproc.wire._generated.gproc import v1
from gproc.wire.jobs import STATE_NUMBERS, STATES
from gproc.wire.prescan import Bounds, scan
from gproc.wire.scalars import enum_from_number
from gproc.wire.schema import schema_of

__all__ = ["VALUES", "Page", "field", "page_from_bytes", "page_to_bytes", "status_from_bytes", "status_to_bytes"]

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_64_BITS = 2**64 - 1
_DOUBLE = struct.Struct("<d")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and the token of the page after them; empty on the last."""

    jobs: tuple[JobStatus, ...]
    next_page_token: str = ""


# Writing


def status_to_bytes(status: JobStatus) -> bytes:
    """Return the ``JobStatus``; text that UTF-8 cannot express is escaped, never refused."""
    return b"".join(
        (
            _text(1, status.id),
            _text(2, status.owner),
            _number(3, STATE_NUMBERS[status.state]),
            _text(4, status.command),
            *(field(5, _utf8(argument)) for argument in status.args),
            _text(6, status.name),
            *_map(7, status.labels),
            _number(8, status.pid or 0),
            b"" if status.exit_code is None else _varint(9 << 3) + _varint(status.exit_code & _64_BITS),
            _text(10, status.signal),
            _text(11, status.reason),
            _moment(12, status.created_at),
            _moment(13, status.started_at),
            _moment(14, status.ended_at),
            _number(15, status.output_bytes),
            _number(16, status.dropped_bytes),
            _text(17, status.stopped_by),
            b"" if status.usage is None else field(18, _usage(status.usage)),
            *_map(19, status.limits),
        )
    )


def page_to_bytes(page: Page) -> bytes:
    """Return the ``ListResponse``."""
    return b"".join((*(field(1, status_to_bytes(status)) for status in page.jobs), _text(2, page.next_page_token)))


def field(number: int, data: bytes) -> bytes:
    """Return a field that holds *data*: text, bytes, or a message."""
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return field(number, _utf8(text)) if text else b""


def _utf8(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & _64_BITS) if value else b""


def _map(number: int, texts: Mapping[str, str]) -> Iterator[bytes]:
    return (field(number, field(1, _utf8(key)) + field(2, _utf8(value))) for key, value in texts.items())


def _moment(number: int, time: datetime | None) -> bytes:
    if time is None:
        return b""
    # One without a time zone is local time, as everywhere in Python.
    microseconds = ((time if time.tzinfo else time.astimezone(UTC)) - _EPOCH) // _MICROSECOND
    seconds, fraction = divmod(microseconds, 1_000_000)
    return field(number, _number(1, seconds) + _number(2, fraction * 1000))


def _usage(usage: Usage) -> bytes:
    cpu = _varint(1 << 3 | _FIXED64) + _DOUBLE.pack(usage.cpu_seconds) if usage.cpu_seconds else b""
    return cpu + _number(2, usage.max_rss_bytes)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


# Reading


def status_from_bytes(data: bytes, bounds: Bounds) -> JobStatus:
    """Return the status in a ``JobStatus``; raises `InvalidArgument`, and nothing else."""
    return _read_status(scan(data, schema_of(v1.JobStatus), bounds))


def page_from_bytes(data: bytes, bounds: Bounds) -> Page:
    """Return the page in a ``ListResponse``; raises `InvalidArgument`, and nothing else."""
    jobs: list[JobStatus] = []
    token = ""
    for number, value in _fields(scan(data, schema_of(v1.ListResponse), bounds)):
        if number == 1:
            jobs.append(_read_status(value))
        else:
            token = str(value, "utf-8")
    return Page(tuple(jobs), token)


def _read_status(data: bytes) -> JobStatus:
    found: dict[str, Any] = {"id": "", "owner": "", "state": 0, "command": ""}
    args: list[str] = []
    maps: dict[int, dict[str, str]] = {7: {}, 19: {}}
    for number, value in _fields(data):
        if number == 5:
            args.append(str(value, "utf-8"))
        elif number in maps:
            entry = dict(_fields(value))
            maps[number][str(entry.get(1, b""), "utf-8")] = str(entry.get(2, b""), "utf-8")
        else:
            name, read = _SINGLE[number]
            found[name] = read(value)
    found["state"] = enum_from_number(found["state"], STATES, "state")
    return JobStatus(args=tuple(args), labels=maps[7], limits=maps[19], **found)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
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
    number = data[at]
    at += 1
    if number < 0x80:
        return number, at
    number &= 0x7F
    shift = 7
    while (byte := data[at]) >= 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1


def _read_text(data: bytes) -> str:
    return str(data, "utf-8")


def _read_int32(number: int) -> int:
    return ((number & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


def _read_moment(data: bytes) -> datetime:
    parts = dict(_fields(data))
    seconds = parts.get(1, 0)
    if seconds >> 63:
        seconds -= 1 << 64
    return _EPOCH + timedelta(seconds=seconds, microseconds=parts.get(2, 0) // 1000)


def _read_usage(data: bytes) -> Usage:
    parts = dict(_fields(data))
    cpu = _DOUBLE.unpack(parts[1])[0] if 1 in parts else 0.0
    return Usage(cpu_seconds=cpu, max_rss_bytes=parts.get(2, 0))


_SINGLE: dict[int, tuple[str, Callable[[Any], Any]]] = {
    1: ("id", _read_text),
    2: ("owner", _read_text),
    3: ("state", _read_int32),
    4: ("command", _read_text),
    6: ("name", _read_text),
    8: ("pid", lambda number: _read_int32(number) or None),
    9: ("exit_code", _read_int32),
    10: ("signal", _read_text),
    11: ("reason", _read_text),
    12: ("created_at", _read_moment),
    13: ("started_at", _read_moment),
    14: ("ended_at", _read_moment),
    15: ("output_bytes", int),
    16: ("dropped_bytes", int),
    17: ("stopped_by", _read_text),
    18: ("usage", _read_usage),
}

VALUES: dict[type, tuple[type, Callable[[Any], bytes], Callable[[bytes, Bounds], Any]]] = {
    JobStatus: (v1.JobStatus, status_to_bytes, status_from_bytes),
    Page: (v1.ListResponse, page_to_bytes, page_from_bytes),
}
"""What codecs write and read without messages: type of the value, type of its message, and both ways."""
