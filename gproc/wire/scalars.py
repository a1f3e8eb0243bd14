"""The small things that messages are made of: ids, texts, signals, durations, moments, enumerations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import Enum
from signal import Signals
from typing import TypeVar

from gproc.errors import InvalidArgument
from gproc.model import JobState, OutputPolicy, Stream
from gproc.model import parse_job_id as parse_id
from gproc.model.units import parse_signal

__all__ = [
    "POLICIES",
    "POLICY_NUMBERS",
    "STATES",
    "STATE_NUMBERS",
    "STREAMS",
    "STREAM_NUMBERS",
    "checked_map",
    "checked_text",
    "checked_texts",
    "clean_text",
    "duration_or_none",
    "enum_from_number",
    "parse_id",
    "parse_signal_or_none",
]

STATE_NUMBERS = {
    JobState.PENDING: 1,
    JobState.RUNNING: 2,
    JobState.STOPPING: 3,
    JobState.EXITED: 4,
    JobState.SIGNALED: 5,
    JobState.STOPPED: 6,
    JobState.TIMED_OUT: 7,
    JobState.LOST: 8,
}
STREAM_NUMBERS = {Stream.STDOUT: 1, Stream.STDERR: 2}
POLICY_NUMBERS: dict[OutputPolicy | None, int] = {None: 0, OutputPolicy.DROP: 1, OutputPolicy.STOP: 2}
STATES = {number: state for state, number in STATE_NUMBERS.items()}
STREAMS = {number: stream for stream, number in STREAM_NUMBERS.items()}
POLICIES = {number: policy for policy, number in POLICY_NUMBERS.items()}

_E = TypeVar("_E", bound=Enum)


def parse_signal_or_none(text: str, field: str = "signal") -> Signals | None:
    """Return the signal called *text*, or None for an empty text."""
    return parse_signal(text, field) if text else None


def duration_or_none(duration: timedelta | None, field: str) -> timedelta | None:
    """Return *duration*, which may be absent, unless it is negative."""
    if duration is not None and duration < timedelta(0):
        raise InvalidArgument(field, "must not be negative")
    return duration


def enum_from_number(number: int, table: Mapping[int, _E], field: str) -> _E:
    """Return what *number* means; raise `InvalidArgument` for one that this version does not know."""
    try:
        return table[number]
    except KeyError:
        raise InvalidArgument(field, f"{int(number)} is not known to this version of Gproc") from None


def checked_text(text: str, field: str) -> str:
    """Return *text* if a message can carry it; raise `InvalidArgument` if it is not made of characters."""
    if clean_text(text) is not text:
        raise InvalidArgument(field, f"{text!r} is not valid text; only bytes that are UTF-8 can be sent")
    return text


def checked_texts(texts: Iterable[str], field: str) -> list[str]:
    """Return *texts*, each checked like `checked_text`."""
    return [checked_text(text, field) for text in texts]


def checked_map(texts: Mapping[str, str], field: str) -> dict[str, str]:
    """Return *texts*, keys and values checked like `checked_text`; no key may be empty."""
    # An entry without key and value would be lost: betterproto writes nothing for it.
    if "" in texts:
        raise InvalidArgument(field, "a name must not be empty")
    return {checked_text(key, field): checked_text(value, field) for key, value in texts.items()}


def clean_text(text: str) -> str:
    r"""Return *text*, what UTF-8 cannot express written as ``\udc80``; the same object if there is no such thing."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text
