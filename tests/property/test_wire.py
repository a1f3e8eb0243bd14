"""Messages: whatever is sent arrives, and whatever arrives is either read or refused, soon."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from signal import Signals
from typing import Any

import pytest
from betterproto import Message
from gproc_support.messages import event_message, message_of, range_message
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hypothesis import given, settings
from hypothesis import strategies as st

from gproc.errors import InvalidArgument
from gproc.model import (
    Chunk,
    Gap,
    JobPage,
    JobRequest,
    JobState,
    JobStatus,
    Limits,
    ListQuery,
    OutputPolicy,
    OutputRange,
    StopPolicy,
    Stream,
    TerminalSize,
    Usage,
    make_job_id,
)
from gproc.wire import (
    METHODS,
    RequestCodec,
    StopQuery,
    event_from_bytes,
    event_to_parts,
    job_id_from_message,
    list_query_from_message,
    messages,
    output_range_from_message,
    request_from_message,
    signal_from_message,
    stop_from_message,
    watch_from_message,
)
from gproc.wire.prescan import Bounds
from gproc.wire.requests import list_query_to_bytes, output_range_to_bytes, request_to_bytes, stop_to_bytes
from gproc.wire.values import page_from_bytes, page_to_bytes, status_from_bytes, status_to_bytes

BOUNDS = Bounds(size=2**20, elements=100_000)
CODEC = RequestCodec()
KINDS: list[Any] = sorted(
    {kind for method in METHODS.values() for kind in (method.request, method.reply)}, key=lambda kind: kind.__name__
)
FROM_MESSAGE: dict[Any, Any] = {
    messages.JobRequest: request_from_message,
    messages.GetOutputRequest: output_range_from_message,
    messages.StatusRequest: job_id_from_message,
    messages.WaitRequest: job_id_from_message,
    messages.RemoveRequest: job_id_from_message,
    messages.StopRequest: stop_from_message,
    messages.SignalRequest: signal_from_message,
    messages.ListRequest: list_query_from_message,
    messages.WatchRequest: watch_from_message,
}
SLOWEST = 2.0
"""Seconds for one message, many times what is measured: what is meant is that nothing is quadratic."""


def encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
maps = st.dictionaries(texts.filter(bool), texts, max_size=3)
counts = st.integers(0, 2**63 - 1)
bounds = st.none() | st.integers(1, 2**63 - 1)
durations = st.timedeltas(timedelta(0), timedelta(days=3650))
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 -- see timezones
ids = st.builds(make_job_id, milliseconds=st.integers(0, 2**50 - 1), chance=st.integers(0, 2**130 - 1))
requests = st.builds(
    JobRequest,
    command=texts.filter(bool),
    args=st.lists(texts, max_size=5).map(tuple),
    env=st.dictionaries(texts.filter(lambda name: bool(name) and "=" not in name), texts, max_size=3),
    working_directory=texts,
    name=texts,
    labels=maps,
    request_id=texts,
    timeout=st.none() | durations.filter(bool),
    stop=st.builds(StopPolicy, signal=st.sampled_from(list(Signals)), grace=durations),
    stdin=st.booleans(),
    tty=st.none() | st.builds(TerminalSize, rows=st.integers(1, 65_535), columns=st.integers(1, 65_535)),
    limits=st.builds(
        Limits,
        memory_bytes=bounds,
        processes=bounds,
        output_bytes=bounds,
        output_policy=st.none() | st.sampled_from(OutputPolicy),
        cpu_millis=st.none() | st.integers(1, 2**32 - 1),
        io_read_bps=bounds,
        io_write_bps=bounds,
    ),
)
statuses = st.builds(
    JobStatus,
    id=ids,
    owner=texts,
    state=st.sampled_from(JobState),
    command=texts,
    args=st.lists(texts, max_size=5).map(tuple),
    name=texts,
    labels=maps,
    pid=st.none() | st.integers(1, 2**31 - 1),
    exit_code=st.none() | st.integers(-(2**31), 2**31 - 1),
    signal=texts,
    reason=texts,
    created_at=st.none() | moments,
    started_at=st.none() | moments,
    ended_at=st.none() | moments,
    output_bytes=counts,
    dropped_bytes=counts,
    stopped_by=texts,
    usage=st.none() | st.builds(Usage, cpu_seconds=st.floats(0, 1e9), max_rss_bytes=counts),
    limits=maps,
)
stops = st.builds(StopQuery, job_id=ids, signal=st.none() | st.sampled_from(list(Signals)), grace=st.none() | durations)
lists = st.builds(
    ListQuery,
    page_size=st.integers(1, 1000),
    page_token=texts,
    states=st.sets(st.sampled_from(JobState)).map(frozenset),
    labels=maps,
    id_prefix=texts,
    name=texts,
)
ranges = st.builds(
    OutputRange,
    offset=counts,
    follow=st.booleans(),
    streams=st.sets(st.sampled_from(Stream), min_size=1).map(frozenset),
    tail_bytes=st.none() | counts,
    tail_lines=st.none() | counts,
    since=st.none() | moments,
)
chunks = st.builds(Chunk, data=st.binary(max_size=300), stream=st.sampled_from(Stream), offset=counts, time=moments)
gaps = st.builds(Gap, offset=counts, bytes=st.integers(1, 2**63 - 1))

varints = st.integers(0, 2**70).map(encode_varint)
keys = st.builds(
    lambda number, wire_type: encode_varint(number << 3 | wire_type), st.integers(0, 24), st.integers(0, 7)
)
values = st.one_of(
    varints,
    st.binary(max_size=12),
    st.binary(max_size=40).map(lambda data: encode_varint(len(data)) + data),
    st.text(max_size=12).map(lambda text: encode_varint(len(text.encode())) + text.encode()),
)
fields = st.builds(lambda key, value: key + value, keys, values)
nested = st.builds(
    lambda number, parts: encode_varint(number << 3 | 2) + encode_varint(len(parts)) + parts,
    st.integers(1, 24),
    st.lists(fields, max_size=5).map(b"".join),
)
wild = st.one_of(st.binary(max_size=200), st.lists(fields | nested, max_size=20).map(b"".join))


def read_or_refuse(data: bytes, kind: type[Message]) -> None:
    """Read *data* as the server would: only a value or INVALID_ARGUMENT, and soon, will do."""
    started = time.process_time()
    try:
        message = CODEC.decode(data, kind)
        FROM_MESSAGE.get(kind, bytes)(message)
    except GRPCError as error:
        problem = error.message if error.status is Status.INVALID_ARGUMENT else None
    except InvalidArgument as error:
        problem = error.field
    else:
        problem = "none"
    assert problem
    assert time.process_time() - started < SLOWEST


@given(requests)
def test_every_request_arrives_as_it_was(request: JobRequest) -> None:
    encoded = request_to_bytes(request)
    assert request_from_message(CODEC.decode(encoded, messages.JobRequest)) == request
    assert messages.JobRequest().parse(encoded) == message_of(request)


@given(stops)
def test_every_stop_is_written_as_betterproto_writes_it(query: StopQuery) -> None:
    assert stop_to_bytes(query) == bytes(message_of(query))
    assert stop_from_message(CODEC.decode(stop_to_bytes(query), messages.StopRequest)) == query


@given(lists)
def test_every_list_is_written_as_betterproto_writes_it(query: ListQuery) -> None:
    assert list_query_to_bytes(query) == bytes(message_of(query))
    assert list_query_from_message(CODEC.decode(list_query_to_bytes(query), messages.ListRequest)) == query


@given(statuses)
def test_every_status_is_written_as_betterproto_writes_it(status: JobStatus) -> None:
    encoded = status_to_bytes(status)
    assert status_from_bytes(encoded, BOUNDS) == status
    assert messages.JobStatus().parse(encoded) == message_of(status)
    assert status_from_bytes(bytes(message_of(status)), BOUNDS) == status


@given(st.lists(statuses, max_size=3).map(tuple), st.text(max_size=20))
def test_every_page_is_written_as_betterproto_writes_it(jobs: tuple[JobStatus, ...], token: str) -> None:
    message = messages.ListResponse(jobs=[message_of(status) for status in jobs], next_page_token=token)
    encoded = page_to_bytes(JobPage(jobs, token))
    assert messages.ListResponse().parse(encoded) == message
    for data in (encoded, bytes(message)):
        assert page_from_bytes(data, BOUNDS) == JobPage(jobs, token)


@given(wild)
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    for read in (status_from_bytes, page_from_bytes):
        with suppress(InvalidArgument):
            read(data, BOUNDS)


@given(ids, ranges)
def test_every_range_arrives_as_it_was(job_id: str, wanted: OutputRange) -> None:
    encoded = output_range_to_bytes((job_id, wanted))
    assert encoded == bytes(range_message(job_id, wanted))
    assert output_range_from_message(CODEC.decode(encoded, messages.GetOutputRequest)) == (job_id, wanted)


@given(chunks | gaps)
def test_every_event_arrives_as_it_was_by_both_ways(event: Chunk | Gap) -> None:
    head, data = event_to_parts(event)
    for message in (head + data, bytes(event_message(event))):
        assert event_from_bytes(message) == event
        assert messages.JobOutput().parse(message) == event_message(event)


@pytest.mark.parametrize("kind", KINDS)
@given(data=wild)
def test_any_bytes_are_read_or_refused(kind: type[Message], data: bytes) -> None:
    read_or_refuse(data, kind)


@given(status=statuses, data=st.data())
def test_a_damaged_status_is_read_or_refused(status: JobStatus, data: st.DataObject) -> None:
    encoded = bytearray(status_to_bytes(status))
    for place in data.draw(st.lists(st.integers(0, len(encoded) - 1), min_size=1, max_size=4)):
        encoded[place] = data.draw(st.integers(0, 255))
    cut = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])
    read_or_refuse(cut, messages.JobStatus)
    with suppress(InvalidArgument):
        # As text: not a number is not equal to itself.
        found = status_from_bytes(cut, BOUNDS)
        assert repr(found) == repr(status_from_bytes(bytes(CODEC.decode(cut, messages.JobStatus)), BOUNDS))


@given(request=requests, data=st.data())
def test_a_damaged_request_is_read_or_refused(request: JobRequest, data: st.DataObject) -> None:
    encoded = bytearray(request_to_bytes(request))
    for place in data.draw(st.lists(st.integers(0, len(encoded) - 1), min_size=1, max_size=4)):
        encoded[place] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(encoded), messages.JobRequest)


@given(
    request=requests,
    unknown=st.lists(st.builds(lambda n, d: encode_varint(n << 3 | 2) + encode_varint(len(d)) + d,
                               st.integers(100, 2**29 - 1), st.binary(max_size=30)), min_size=1, max_size=5),
)  # fmt: skip
def test_fields_from_the_future_change_nothing(request: JobRequest, unknown: list[bytes]) -> None:
    encoded = unknown[0] + request_to_bytes(request) + b"".join(unknown)
    message = CODEC.decode(encoded, messages.JobRequest)
    assert request_from_message(message) == request
    assert message._unknown_fields == b""


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(item=fields | nested | wild.filter(bool))
def test_a_message_full_of_one_thing_is_read_or_refused_soon(kind: type[Message], item: bytes) -> None:
    read_or_refuse(item * (128 * 1024 // len(item)), kind)
