"""Which output is wanted, and the pieces it comes in, as messages and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from betterproto import serialized_on_wire

from gproc.errors import InvalidArgument
from gproc.model import Chunk, End, Gap, JobId, OutputEvent, OutputRange, Stream
from gproc.transport import MalformedOutput, decode_output, encode_output_head
from gproc.wire._generated.gproc import v1
from gproc.wire.jobs import status_from_message, status_to_message
from gproc.wire.prescan import Bounds, read_message
from gproc.wire.scalars import enum_from_number, moment, natural, parse_id
from gproc.wire.values import field, status_from_bytes, status_to_bytes

__all__ = [
    "event_from_bytes",
    "event_from_message",
    "event_to_message",
    "event_to_parts",
    "output_range_from_message",
    "output_range_to_message",
]

_STREAMS: dict[int, Stream] = {int(v1.Stream[stream.name]): stream for stream in Stream}
_STREAM_NUMBERS: dict[Stream, v1.Stream] = {stream: v1.Stream[stream.name] for stream in Stream}
_BOTH = frozenset(Stream)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END = 6
"""The number of the field ``JobOutput.end``."""
_PART = Bounds(size=2**20, elements=100_000)


def output_range_to_message(job_id: JobId, wanted: OutputRange) -> v1.GetOutputRequest:
    """Return the message that asks for that part of a job's output."""
    some = [_STREAM_NUMBERS[stream] for stream in Stream if stream in wanted.streams]
    return v1.GetOutputRequest(
        id=job_id,
        offset=natural(wanted.offset, "offset"),
        no_follow=not wanted.follow,
        streams=[] if wanted.streams == _BOTH else some,
        tail_bytes=_natural_or_none(wanted.tail_bytes, "tail_bytes"),
        tail_lines=_natural_or_none(wanted.tail_lines, "tail_lines"),
        since=moment(wanted.since),
    )


def output_range_from_message(message: v1.GetOutputRequest) -> tuple[JobId, OutputRange]:
    """Return the job and the part of its output that *message* asks for; raises `InvalidArgument`."""
    some = frozenset(enum_from_number(number, _STREAMS, "streams") for number in message.streams)
    return parse_id(message.id), OutputRange(
        offset=natural(message.offset, "offset"),
        follow=not message.no_follow,
        streams=some or _BOTH,
        tail_bytes=_natural_or_none(message.tail_bytes, "tail_bytes"),
        tail_lines=_natural_or_none(message.tail_lines, "tail_lines"),
        since=message.since,
    )


def event_to_message(event: OutputEvent) -> v1.JobOutput:
    """Return the message of one piece of output, a gap, or the end."""
    if isinstance(event, Chunk):
        return v1.JobOutput(
            data=bytes(event.data), stream=_STREAM_NUMBERS[event.stream], offset=event.offset, time=event.time
        )
    if isinstance(event, Gap):
        return v1.JobOutput(gap=v1.Gap(offset=event.offset, bytes=event.bytes))
    return v1.JobOutput(end=status_to_message(event.status))


def event_from_message(message: v1.JobOutput) -> OutputEvent:
    """Return what *message* tells; raises `InvalidArgument` if this version does not know such a piece."""
    if serialized_on_wire(message.end):
        return End(status_from_message(message.end))
    if serialized_on_wire(message.gap):
        return Gap(message.gap.offset, message.gap.bytes)
    stream = enum_from_number(message.stream, _STREAMS, "stream")
    return Chunk(message.data, stream, message.offset, message.time)


def event_to_parts(event: OutputEvent) -> tuple[bytes, bytes | memoryview]:
    """Return the message as the head and data that `gproc.transport.send_output` takes; data is not copied."""
    if isinstance(event, End):
        return field(_END, status_to_bytes(event.status)), b""
    if isinstance(event, Gap):
        return bytes(event_to_message(event)), b""
    head = encode_output_head(
        stream=_STREAM_NUMBERS[event.stream],
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
        gap = read_message(fields.gap, v1.Gap, _PART)
        return Gap(gap.offset, gap.bytes)
    return Chunk(
        fields.data, enum_from_number(fields.stream, _STREAMS, "stream"), fields.offset, _time(fields.time_ns or 0)
    )


def _time(nanoseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        raise InvalidArgument("time", f"{nanoseconds} ns are out of range") from None


def _natural_or_none(number: int | None, field: str) -> int | None:
    return None if number is None else natural(number, field)
