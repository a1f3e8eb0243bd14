"""What clients ask about jobs that exist: stop, signal, list, watch, and everything that is just an id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from signal import Signals

from gproc.errors import InvalidArgument
from gproc.model import JobId, JobState, JobStatus
from gproc.model.units import parse_signal
from gproc.wire._generated.gproc import v1
from gproc.wire.jobs import STATE_NUMBERS, STATES, status_from_message, status_to_message
from gproc.wire.scalars import (
    checked_map,
    checked_text,
    duration_or_none,
    enum_from_number,
    parse_id,
    parse_signal_or_none,
)

__all__ = [
    "ListQuery",
    "SignalQuery",
    "StopQuery",
    "job_id_from_message",
    "list_query_from_message",
    "list_query_to_message",
    "page_from_message",
    "page_to_message",
    "signal_from_message",
    "signal_to_message",
    "stop_from_message",
    "stop_to_message",
    "watch_from_message",
    "watch_to_message",
]

USUAL_PAGE = 100
LARGEST_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StopQuery:
    """Which job to stop, and how; None means as the job was started with."""

    job_id: JobId
    signal: Signals | None = None
    grace: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalQuery:
    """Which job to signal."""

    job_id: JobId
    signal: Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which jobs to list: those that pass every filter. The fields are the arguments of `Supervisor.list`."""

    page_size: int = USUAL_PAGE
    page_token: str = ""
    states: frozenset[JobState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str = ""
    name: str = ""


def job_id_from_message(message: v1.StatusRequest | v1.WaitRequest | v1.RemoveRequest) -> JobId:
    """Return the id of the job that *message* is about; raises `InvalidArgument`."""
    return parse_id(message.id)


def stop_to_message(query: StopQuery) -> v1.StopRequest:
    """Return the message that asks for the stop."""
    signal = "" if query.signal is None else query.signal.name
    return v1.StopRequest(id=query.job_id, signal=signal, grace=duration_or_none(query.grace, "grace"))


def stop_from_message(message: v1.StopRequest) -> StopQuery:
    """Return what *message* asks for; raises `InvalidArgument`."""
    return StopQuery(
        job_id=parse_id(message.id),
        signal=parse_signal_or_none(message.signal),
        grace=duration_or_none(message.grace, "grace"),
    )


def signal_to_message(query: SignalQuery) -> v1.SignalRequest:
    """Return the message that asks for the signal."""
    return v1.SignalRequest(id=query.job_id, signal=query.signal.name)


def signal_from_message(message: v1.SignalRequest) -> SignalQuery:
    """Return what *message* asks for; raises `InvalidArgument`, also if it names no signal."""
    return SignalQuery(job_id=parse_id(message.id), signal=parse_signal(message.signal))


def list_query_to_message(query: ListQuery) -> v1.ListRequest:
    """Return the message that asks for one page of jobs."""
    if not 1 <= query.page_size <= LARGEST_PAGE:
        raise InvalidArgument("page_size", f"{query.page_size} is not between 1 and {LARGEST_PAGE}")
    return v1.ListRequest(
        page_size=query.page_size,
        page_token=query.page_token,
        states=[STATE_NUMBERS[state] for state in JobState if state in query.states],
        labels=checked_map(query.labels, "labels"),
        id_prefix=checked_text(query.id_prefix, "id_prefix"),
        name=checked_text(query.name, "name"),
    )


def list_query_from_message(message: v1.ListRequest) -> ListQuery:
    """Return what *message* asks for, the page size brought within its bounds; raises `InvalidArgument`."""
    return ListQuery(
        page_size=min(message.page_size or USUAL_PAGE, LARGEST_PAGE),
        page_token=message.page_token,
        states=frozenset(enum_from_number(number, STATES, "states") for number in message.states),
        labels=message.labels,
        id_prefix=message.id_prefix,
        name=message.name,
    )


def page_to_message(jobs: Iterable[JobStatus], next_page_token: str) -> v1.ListResponse:
    """Return the message of one page of jobs."""
    return v1.ListResponse(jobs=[status_to_message(status) for status in jobs], next_page_token=next_page_token)


def page_from_message(message: v1.ListResponse) -> tuple[tuple[JobStatus, ...], str]:
    """Return the jobs of a page and the token of the next, empty on the last."""
    return tuple(status_from_message(status) for status in message.jobs), message.next_page_token


def watch_to_message(ids: Iterable[JobId]) -> v1.WatchRequest:
    """Return the message that asks for the statuses of these jobs; of all jobs of the caller if there is no id."""
    return v1.WatchRequest(ids=[parse_id(job_id, "ids") for job_id in ids])


def watch_from_message(message: v1.WatchRequest) -> tuple[JobId, ...]:
    """Return the ids that *message* asks for; raises `InvalidArgument`."""
    return tuple(parse_id(job_id, "ids") for job_id in message.ids)
