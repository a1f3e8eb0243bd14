from __future__ import annotations

from datetime import UTC, datetime, timedelta
from signal import Signals
from typing import Any

import pytest
from gproc_support.messages import message_of

from gproc.errors import InvalidArgument
from gproc.model import JobState, ListQuery, OutputRange
from gproc.wire import (
    RequestCodec,
    SignalQuery,
    StopQuery,
    job_id_from_message,
    list_query_from_message,
    messages,
    signal_from_message,
    stop_from_message,
    watch_from_message,
)
from gproc.wire.requests import (
    id_to_bytes,
    list_query_to_bytes,
    output_range_to_bytes,
    signal_to_bytes,
    stop_to_bytes,
    watch_to_bytes,
)

ID = "0123456789abcdefghjkmnpqrstvwxyz0123"
HOSTILE = ["", "x", "../../etc/passwd", "%2e" * 12, ID + "\0", ID.upper(), "a" * 100_000]


def read(data: bytes, kind: Any) -> Any:
    return RequestCodec().decode(data, kind)


@pytest.mark.parametrize("kind", [messages.StatusRequest, messages.WaitRequest, messages.RemoveRequest])
def test_an_id_arrives(kind: Any) -> None:
    assert job_id_from_message(read(id_to_bytes(ID), kind)) == ID
    assert id_to_bytes(ID) == bytes(kind(id=ID))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_id_is_refused_and_not_repeated_at_length(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        job_id_from_message(messages.StatusRequest(id=text))
    assert caught.value.field == "id"
    assert len(str(caught.value)) < 300
    with pytest.raises(InvalidArgument, match=r"^id: "):
        id_to_bytes(text)


@pytest.mark.parametrize(
    "query",
    [
        StopQuery(job_id=ID),
        StopQuery(job_id=ID, signal=Signals.SIGINT, grace=timedelta(0)),
        StopQuery(job_id=ID, grace=timedelta(seconds=90)),
    ],
)
def test_a_stop_arrives_as_it_was_meant(query: StopQuery) -> None:
    assert stop_from_message(read(stop_to_bytes(query), messages.StopRequest)) == query
    assert stop_to_bytes(query) == bytes(message_of(query))


def test_a_negative_grace_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^grace: must not be negative"):
        stop_from_message(messages.StopRequest(id=ID, grace=timedelta(seconds=-1)))
    with pytest.raises(InvalidArgument, match=r"^grace: must not be negative"):
        stop_to_bytes(StopQuery(job_id=ID, grace=timedelta(seconds=-1)))


def test_a_signal_arrives() -> None:
    query = SignalQuery(job_id=ID, signal=Signals.SIGUSR1)
    assert signal_from_message(read(signal_to_bytes(query), messages.SignalRequest)) == query
    assert signal_to_bytes(query) == bytes(message_of(query))


@pytest.mark.parametrize("text", ["", "SIGFOO", "0", "-1", "65", "9999999999999999999999"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        signal_from_message(messages.SignalRequest(id=ID, signal=text))
    assert caught.value.field == "signal"


def test_a_list_arrives_as_it_was_meant() -> None:
    query = ListQuery(
        page_size=7,
        page_token="t",
        states=frozenset({JobState.RUNNING, JobState.LOST}),
        labels={"a": "b"},
        id_prefix="01",
        name="n",
    )
    assert list_query_from_message(read(list_query_to_bytes(query), messages.ListRequest)) == query
    assert list_query_to_bytes(query) == bytes(message_of(query))


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000), (2**32 - 1, 1_000)])
def test_page_sizes_are_brought_within_their_bounds(asked: int, given: int) -> None:
    assert list_query_from_message(messages.ListRequest(page_size=asked)).page_size == given


def test_an_unknown_state_in_a_list_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^states: 0 is not known"):
        list_query_from_message(messages.ListRequest(states=[messages.JobState.try_value(0)]))


def test_watched_ids_arrive() -> None:
    assert watch_from_message(read(watch_to_bytes([ID, ID]), messages.WatchRequest)) == (ID, ID)
    assert watch_from_message(read(watch_to_bytes([]), messages.WatchRequest)) == ()
    assert watch_to_bytes([ID, ID]) == bytes(messages.WatchRequest(ids=[ID, ID]))


@pytest.mark.parametrize("text", HOSTILE)
def test_an_id_to_watch_that_is_none_is_refused_on_both_sides(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^ids: "):
        watch_from_message(messages.WatchRequest(ids=[ID, text]))
    with pytest.raises(InvalidArgument, match=r"^ids: "):
        watch_to_bytes([text])


def test_a_time_without_a_zone_is_local_time() -> None:
    local = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - that is what is tested
    without, within = (output_range_to_bytes((ID, OutputRange(since=time))) for time in (local, local.astimezone(UTC)))
    assert without == within
