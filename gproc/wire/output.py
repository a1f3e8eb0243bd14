"""Which output is wanted, as servers read it, and the pieces it comes in, to bytes and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from gproc.errors import InvalidArgument
from gproc.model import Chunk, End, Gap, JobId, OutputEvent, OutputRange, Stream
from gproc.transport import MalformedOutput, decode_output, encode_output_head
from gproc.wire import schema, tags
from gproc.wire.prescan import Bounds, scan
from gproc.wire.scalars import STREAM_NUMBERS, STREAMS, enum_from_number, parse_id
from gproc.wire.values import status_from_bytes, status_to_bytes

if TYPE_CHECKING:
    from gproc.wire._generated.gproc import v1

__all__ = ["event_from_bytes", "event_to_parts", "output_range_from_message"]

GAP = schema.Schema("Gap", {1: schema.number("offset"), 2: schema.number("bytes")})

_BOTH = frozenset(Stream)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_GAP, _END = 5, 6
"""The numbers of the fields of ``JobOutput``."""
_PART = Bounds(size=2**20, elements=100_000)


def output_range_from_message(message: v1.GetOutputRequest) -> tuple[JobId, OutputRange]:
    """Return the job and the part of its output that *message* asks for; raises `InvalidArgument`."""
    some = frozenset(enum_from_number(number, STREAMS, "streams") for number in message.streams)
    return parse_id(message.id), OutputRange(
        offset=message.offset,
        follow=not message.no_follow,
        streams=some or _BOTH,
        tail_bytes=message.tail_bytes,
        tail_lines=message.tail_lines,
        since=message.since,
    )


def event_to_parts(event: OutputEvent) -> tuple[bytes, bytes | memoryview]:
    """Return the message as the head and data that `gproc.transport.send_output` takes; data is not copied."""
    if isinstance(event, End):
        return tags.field(_END, status_to_bytes(event.status)), b""
    if isinstance(event, Gap):
        return tags.field(_GAP, tags.number(1, event.offset) + tags.number(2, event.bytes)), b""
    head = encode_output_head(
        stream=STREAM_NUMBERS[event.stream],
        offset=event.offset,
        time_ns=(event.time - _EPOCH) // _MICROSECOND * 1000,
        data_len=len(event.data),
    )
    return head, event.data


def event_from_bytes(message: bytes | memoryview) -> OutputEvent:
    """Return what a `JobOutput` tells, a chunk's data as a view of *message*; raises `InvalidArgument`."""
    try:
        fields = decode_output(message)
    except MalformedOutput as error:
        raise InvalidArgument("JobOutput", str(error)) from None
    if fields.end is not None:
        return End(status_from_bytes(fields.end, _PART))
    if fields.gap is not None:
        gap = dict(tags.fields_of(scan(fields.gap, GAP, _PART)))
        return Gap(gap.get(1, 0), gap.get(2, 0))
    return Chunk(
        fields.data, enum_from_number(fields.stream, STREAMS, "stream"), fields.offset, _time(fields.time_ns or 0)
    )


@lru_cache(256)  # chunks of one moment follow each other
def _time(nanoseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        raise InvalidArgument("time", f"{nanoseconds} ns are out of range") from None
