from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from gproc_support.messages import event_message, range_message

from gproc.errors import InvalidArgument
from gproc.model import Chunk, End, Gap, JobState, JobStatus, OutputEvent, OutputRange, Stream
from gproc.wire import RequestCodec, event_from_bytes, event_to_parts, messages, output_range_from_message
from gproc.wire.requests import output_range_to_bytes

ID = "0123456789abcdefghjkmnpqrstvwxyz0123"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
EVENTS: list[OutputEvent] = [
    Chunk(b"\xff\x00 any bytes", Stream.STDERR, 2**40, NOW),
    Chunk(b"", Stream.STDOUT, 0, datetime(1970, 1, 1, tzinfo=UTC)),
    Chunk(b"before 1970", Stream.STDOUT, 1, datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
    Gap(5, 6),
    Gap(0, 1),
    End(JobStatus(id=ID, owner="alice", state=JobState.EXITED, command="x", exit_code=0, created_at=NOW)),
]


def _asking(**fields: Any) -> messages.GetOutputRequest:
    return messages.GetOutputRequest(id=ID, **fields)


def asked(wanted: OutputRange) -> messages.GetOutputRequest:
    return RequestCodec().decode(output_range_to_bytes((ID, wanted)), messages.GetOutputRequest)


@pytest.mark.parametrize(
    "wanted",
    [
        OutputRange(),
        OutputRange(offset=2**62, follow=False, streams=frozenset({Stream.STDERR})),
        OutputRange(tail_bytes=0),
        OutputRange(tail_lines=0),
        OutputRange(tail_bytes=10, tail_lines=20, since=NOW),
    ],
)
def test_a_range_arrives_as_it_was_meant(wanted: OutputRange) -> None:
    assert output_range_from_message(asked(wanted)) == (ID, wanted)
    assert output_range_to_bytes((ID, wanted)) == bytes(range_message(ID, wanted))


def test_times_are_told_in_utc() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    assert asked(OutputRange(since=there)).since == NOW
    assert output_range_to_bytes((ID, OutputRange(since=there))) == output_range_to_bytes((ID, OutputRange(since=NOW)))


@pytest.mark.parametrize("field", ["offset", "tail_bytes", "tail_lines"])
def test_a_number_that_the_kernel_cannot_take_is_refused(field: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: "):
        output_range_from_message(_asking(**{field: 2**63}))
    wanted: dict[str, Any] = {field: -1}
    with pytest.raises(InvalidArgument, match=f"^{field}: "):
        output_range_to_bytes((ID, OutputRange(**wanted)))


def test_a_stream_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^streams: 0 is not known"):
        output_range_from_message(_asking(streams=[messages.Stream.UNSPECIFIED]))


@pytest.mark.parametrize("event", EVENTS)
def test_events_arrive_as_they_were(event: OutputEvent) -> None:
    head, data = event_to_parts(event)
    assert event_from_bytes(head + data) == event


@pytest.mark.parametrize("event", EVENTS)
def test_events_mean_the_same_to_betterproto(event: OutputEvent) -> None:
    head, data = event_to_parts(event)
    assert bytes(messages.JobOutput().parse(head + data)) == bytes(event_message(event))
    assert event_from_bytes(bytes(event_message(event))) == event


def test_the_data_of_a_chunk_is_not_copied() -> None:
    data = b"x" * 100
    head, same = event_to_parts(Chunk(data, Stream.STDOUT, 0, NOW))
    assert same is data
    message = memoryview(head + data)
    chunk = event_from_bytes(message)
    assert isinstance(chunk, Chunk)
    assert isinstance(chunk.data, memoryview)
    assert chunk.data.obj is message.obj


def test_a_view_can_be_sent() -> None:
    event = Chunk(memoryview(b"abc"), Stream.STDOUT, 0, NOW)
    head, data = event_to_parts(event)
    assert event_from_bytes(head + bytes(data)) == event


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "stream: 0 is not known"),
        (b"\x10\x07", "stream: 7 is not known"),
        (b"\x0a\x05abc", "JobOutput: "),
        (b"\x10\x01\x22\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "time: .* out of range"),
        (b"\x2a\x02\x08\xff", "offset: ends in the middle of a number"),
        (b"\x32\x02\x0a\x05", "id: is cut off"),
        (b"\x32\x03\x0a\x01a", "state: 0 is not known"),
    ],
)
def test_what_is_no_event_is_refused(message: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        event_from_bytes(message)
