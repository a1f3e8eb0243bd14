"""Requests to start a job, and the statuses of jobs, as messages and back."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

from betterproto import serialized_on_wire

from gproc.errors import InvalidArgument
from gproc.model import JobRequest, JobState, JobStatus, Limits, OutputPolicy, StopPolicy, TerminalSize, Usage
from gproc.wire._generated.gproc import v1
from gproc.wire.scalars import (
    checked_map,
    checked_text,
    checked_texts,
    clean_text,
    enum_from_number,
    moment,
    natural,
    parse_signal_or_none,
)

__all__ = [
    "STATES",
    "STATE_NUMBERS",
    "request_from_message",
    "request_to_message",
    "status_from_message",
    "status_to_message",
]

STATES: dict[int, JobState] = {int(v1.JobState[state.name]): state for state in JobState}
STATE_NUMBERS: dict[JobState, v1.JobState] = {state: v1.JobState[state.name] for state in JobState}
_POLICIES: dict[int, OutputPolicy | None] = {
    v1.OutputPolicy.UNSPECIFIED: None,
    v1.OutputPolicy.DROP: OutputPolicy.DROP,
    v1.OutputPolicy.STOP: OutputPolicy.STOP,
}
_POLICY_NUMBERS = {policy: v1.OutputPolicy(number) for number, policy in _POLICIES.items()}
_BOUNDS = tuple(field.name for field in fields(Limits) if field.name != "output_policy")
_MAX_CELLS = 65_535
"""A terminal's size is two 16-bit numbers."""

_T = TypeVar("_T")


def request_to_message(request: JobRequest) -> v1.JobRequest:
    """Return the message that asks for *request*; raises `InvalidArgument` for text that UTF-8 cannot express."""
    message = v1.JobRequest(
        command=checked_text(request.command, "command"),
        args=checked_texts(request.args, "args"),
        env=checked_map(request.env, "env"),
        working_directory=checked_text(request.working_directory, "working_directory"),
        name=checked_text(request.name, "name"),
        labels=checked_map(request.labels, "labels"),
        request_id=checked_text(request.request_id, "request_id"),
        timeout=request.timeout,
        stop=v1.StopPolicy(signal=request.stop.signal.name, grace=request.stop.grace),
        stdin=request.stdin,
        limits=_limits_to_message(request.limits),
    )
    if request.tty is not None:
        message.tty = v1.TerminalSize(rows=request.tty.rows, columns=request.tty.columns)
    return message


def request_from_message(message: v1.JobRequest) -> JobRequest:
    """Return what *message* asks for, absent fields as the proto says; raises `InvalidArgument`."""
    if "" in message.labels:
        raise InvalidArgument("labels", "a name must not be empty")
    return JobRequest(
        command=message.command,
        args=tuple(message.args),
        env=message.env,
        working_directory=message.working_directory,
        name=message.name,
        labels=message.labels,
        request_id=message.request_id,
        timeout=message.timeout or None,
        stop=_stop_policy_from_message(message.stop),
        stdin=message.stdin,
        tty=_terminal_from_message(message.tty) if serialized_on_wire(message.tty) else None,
        limits=_limits_from_message(message.limits),
    )


def status_to_message(status: JobStatus) -> v1.JobStatus:
    """Return the message of *status*; text that UTF-8 cannot express is escaped, never refused."""
    message = v1.JobStatus(
        id=status.id,
        owner=status.owner,
        state=STATE_NUMBERS[status.state],
        command=clean_text(status.command),
        args=[clean_text(argument) for argument in status.args],
        name=clean_text(status.name),
        labels={clean_text(key): clean_text(value) for key, value in status.labels.items()},
        pid=status.pid or 0,
        exit_code=status.exit_code,
        signal=status.signal,
        reason=clean_text(status.reason),
        created_at=moment(status.created_at),
        started_at=moment(status.started_at),
        ended_at=moment(status.ended_at),
        output_bytes=status.output_bytes,
        dropped_bytes=status.dropped_bytes,
        stopped_by=status.stopped_by,
        limits=dict(status.limits),
    )
    if status.usage is not None:
        message.usage = v1.Usage(cpu_seconds=status.usage.cpu_seconds, max_rss_bytes=status.usage.max_rss_bytes)
    return message


def status_from_message(message: v1.JobStatus) -> JobStatus:
    """Return the status in *message*; raises `InvalidArgument` for a state that this version does not know."""
    usage = message.usage
    return JobStatus(
        id=message.id,
        owner=message.owner,
        state=enum_from_number(message.state, STATES, "state"),
        command=message.command,
        args=tuple(message.args),
        name=message.name,
        labels=message.labels,
        pid=message.pid or None,
        exit_code=message.exit_code,
        signal=message.signal,
        reason=message.reason,
        created_at=message.created_at,
        started_at=message.started_at,
        ended_at=message.ended_at,
        output_bytes=message.output_bytes,
        dropped_bytes=message.dropped_bytes,
        stopped_by=message.stopped_by,
        usage=Usage(cpu_seconds=usage.cpu_seconds, max_rss_bytes=usage.max_rss_bytes)
        if serialized_on_wire(usage)
        else None,
        limits=message.limits,
    )


def _stop_policy_from_message(message: v1.StopPolicy) -> StopPolicy:
    return StopPolicy(
        signal=_or_default(parse_signal_or_none(message.signal, "stop.signal"), StopPolicy().signal),
        grace=_or_default(message.grace, StopPolicy().grace),
    )


def _terminal_from_message(message: v1.TerminalSize) -> TerminalSize:
    for field, cells in (("tty.rows", message.rows), ("tty.columns", message.columns)):
        if cells > _MAX_CELLS:
            raise InvalidArgument(field, f"{cells} is more than {_MAX_CELLS}")
    usual = TerminalSize()
    return TerminalSize(rows=message.rows or usual.rows, columns=message.columns or usual.columns)


def _limits_to_message(limits: Limits) -> v1.Limits:
    message = v1.Limits(output_policy=_POLICY_NUMBERS[limits.output_policy])
    for name in _BOUNDS:
        setattr(message, name, natural(getattr(limits, name) or 0, f"limits.{name}"))
    return message


def _limits_from_message(message: v1.Limits) -> Limits:
    bounds = {name: natural(getattr(message, name), f"limits.{name}") or None for name in _BOUNDS}
    try:
        policy = _POLICIES[message.output_policy]
    except KeyError:
        raise InvalidArgument("limits.output_policy", f"{int(message.output_policy)} is not known") from None
    return Limits(output_policy=policy, **bounds)


def _or_default(value: _T | None, default: _T) -> _T:
    return default if value is None else value
