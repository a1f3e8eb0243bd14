"""Requests to start a job, as servers read them."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

from gproc.errors import InvalidArgument
from gproc.model import JobRequest, Limits, StopPolicy, TerminalSize
from gproc.wire._generated.gproc import v1
from gproc.wire.scalars import POLICIES, parse_signal_or_none

__all__ = ["request_from_message"]

_BOUNDS = tuple(field.name for field in fields(Limits) if field.name != "output_policy")

_T = TypeVar("_T")


def request_from_message(message: v1.JobRequest) -> JobRequest:
    """Return what *message* asks for, absent fields as the proto says; raises `InvalidArgument`.

    It must be as it was decoded: betterproto makes a part that is absent when somebody looks at it.
    """
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
        stop=_stop_policy_from_message(message.stop) if message.is_set("stop") else StopPolicy(),
        stdin=message.stdin,
        tty=_terminal_from_message(message.tty) if message.is_set("tty") else None,
        limits=_limits_from_message(message.limits) if message.is_set("limits") else Limits(),
    )


def _stop_policy_from_message(message: v1.StopPolicy) -> StopPolicy:
    return StopPolicy(
        signal=_or_default(parse_signal_or_none(message.signal, "stop.signal"), StopPolicy().signal),
        grace=_or_default(message.grace, StopPolicy().grace),
    )


def _terminal_from_message(message: v1.TerminalSize) -> TerminalSize:
    usual = TerminalSize()
    return TerminalSize(rows=message.rows or usual.rows, columns=message.columns or usual.columns)


def _limits_from_message(message: v1.Limits) -> Limits:
    bounds = {name: getattr(message, name) or None for name in _BOUNDS}
    try:
        policy = POLICIES[message.output_policy]
    except KeyError:
        raise InvalidArgument("limits.output_policy", f"{int(message.output_policy)} is not known") from None
    return Limits(output_policy=policy, **bounds)


def _or_default(value: _T | None, default: _T) -> _T:
    return default if value is None else value
