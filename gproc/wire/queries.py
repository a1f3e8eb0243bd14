"""What clients ask about jobs that exist: stop, signal, list, watch, and everything that is just an id."""

from __future__ import annotations

from datetime import timedelta
from signal import Signals
from typing import TYPE_CHECKING, NamedTuple

from gproc.model import JobId, ListQuery
from gproc.model.listing import LARGEST_PAGE, USUAL_PAGE
from gproc.model.units import parse_signal
from gproc.wire.scalars import STATES, duration_or_none, enum_from_number, parse_id, parse_signal_or_none

if TYPE_CHECKING:
    from gproc.wire._generated.gproc import v1

__all__ = [
    "SignalQuery",
    "StopQuery",
    "job_id_from_message",
    "list_query_from_message",
    "signal_from_message",
    "stop_from_message",
    "watch_from_message",
]


class StopQuery(NamedTuple):
    """Which job to stop, and how; None means as the job was started with."""

    job_id: JobId
    signal: Signals | None = None
    grace: timedelta | None = None


class SignalQuery(NamedTuple):
    """Which job to signal."""

    job_id: JobId
    signal: Signals


def job_id_from_message(message: v1.StatusRequest | v1.WaitRequest | v1.RemoveRequest) -> JobId:
    """Return the id of the job that *message* is about; raises `InvalidArgument`."""
    return parse_id(message.id)


def stop_from_message(message: v1.StopRequest) -> StopQuery:
    """Return what *message* asks for; raises `InvalidArgument`."""
    return StopQuery(
        job_id=parse_id(message.id),
        signal=parse_signal_or_none(message.signal),
        grace=duration_or_none(message.grace, "grace"),
    )


def signal_from_message(message: v1.SignalRequest) -> SignalQuery:
    """Return what *message* asks for; raises `InvalidArgument`, also if it names no signal."""
    return SignalQuery(job_id=parse_id(message.id), signal=parse_signal(message.signal))


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


def watch_from_message(message: v1.WatchRequest) -> tuple[JobId, ...]:
    """Return the ids that *message* asks for; raises `InvalidArgument`."""
    return tuple(parse_id(job_id, "ids") for job_id in message.ids)
