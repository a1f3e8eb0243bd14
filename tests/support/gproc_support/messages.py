"""Values as generated messages, field by field and by name: what `gproc.wire` writes past betterproto is held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from signal import Signals
from typing import Any

from gproc.model import Chunk, End, Gap, JobId, JobRequest, JobStatus, ListQuery, OutputEvent, OutputRange, Stream
from gproc.wire import SignalQuery, StopQuery, messages

__all__ = ["event_message", "fields_by_name", "message_of", "range_message"]

_KINDS: dict[type, Any] = {
    JobRequest: messages.JobRequest,
    JobStatus: messages.JobStatus,
    ListQuery: messages.ListRequest,
    SignalQuery: messages.SignalRequest,
    StopQuery: messages.StopRequest,
}
_RENAMED = {"job_id": "id"}
_INNER: dict[str, Any] = {
    "stop": messages.StopPolicy,
    "tty": messages.TerminalSize,
    "limits": messages.Limits,
    "usage": messages.Usage,
}


def message_of(value: Any) -> Any:
    """Return the message that says the same as *value*."""
    return _KINDS[type(value)](**fields_by_name(value))


def range_message(job_id: JobId, wanted: OutputRange) -> messages.GetOutputRequest:
    """Return the request for that part of a job's output."""
    found = fields_by_name(wanted)
    found["no_follow"] = not found.pop("follow", False)
    if wanted.streams == frozenset(Stream):
        del found["streams"]
    return messages.GetOutputRequest(id=job_id, **found)


def event_message(event: OutputEvent) -> messages.JobOutput:
    """Return the message of one piece of output, a gap, or the end."""
    match event:
        case Chunk():
            return messages.JobOutput(**fields_by_name(event) | {"data": bytes(event.data)})
        case Gap():
            return messages.JobOutput(gap=messages.Gap(offset=event.offset, bytes=event.bytes))
        case End():
            return messages.JobOutput(end=message_of(event.status))


def fields_by_name(value: Any) -> dict[str, Any]:
    """Return what *value* says besides the defaults of proto3."""
    names = [field.name for field in fields(value)] if is_dataclass(value) else value._fields
    found = {_RENAMED.get(name, name): getattr(value, name) for name in names}
    return {name: _plain(name, part) for name, part in found.items() if part is not None}


def _plain(name: str, part: Any) -> Any:
    match part:
        case Signals():
            told: Any = part.name
        case Enum():
            told = getattr(messages, type(part).__name__)[part.name]
        case frozenset():
            told = sorted((_plain(name, each) for each in part), key=int)
        case datetime():
            told = part.astimezone(UTC)
        case Mapping():
            told = dict(part)
        case tuple():
            told = list(part)
        case _:
            told = _INNER[name](**fields_by_name(part)) if is_dataclass(part) else part
    return told
