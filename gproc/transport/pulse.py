"""What to do about a connection now and then: a pure decision over a few facts.

Every connection has a pulse, a timer that fires a few times per shortest limit. It answers, in this order: is the peer
dead, did it ever ask for anything, is it idle, is it too old, must we ask whether it is there. Streams that wait too
long are cut by the same pulse, but one by one.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gproc.transport.limits import TransportLimits

__all__ = ["Facts", "Step", "next_step", "pulse_interval"]

_BEATS_PER_LIMIT = 8
_SHORTEST = 0.01


class Step(Enum):
    """What is to be done with the connection."""

    NOTHING = "nothing"
    ASK = "ask whether the peer is there"
    ABORT_SILENT = "the peer answers nothing any more"
    ABORT_UNUSED = "no request came after the handshake"
    LEAVE_IDLE = "the connection was idle for too long"
    LEAVE_OLD = "the connection is too old"


class Facts(NamedTuple):
    """What the decision stands on; moments are seconds of one monotonic clock."""

    now: float
    opened_at: float
    heard_at: float
    """When the last byte came."""
    asked_at: float | None
    """When we asked, after `heard_at`, whether the peer is there; or when it last read something, if that was later."""
    idle_since: float | None
    """When the last request was over; None while there is one."""
    was_used: bool
    """Whether a request ever came."""
    is_server: bool
    is_leaving: bool
    """Whether the connection was told to go already."""


def next_step(facts: Facts, limits: TransportLimits) -> Step:
    """Return what to do with a connection in this state."""
    if facts.asked_at is not None and facts.now - facts.asked_at >= limits.keepalive_timeout:
        return Step.ABORT_SILENT
    if facts.is_server and not facts.is_leaving:
        if not facts.was_used and facts.now - facts.opened_at >= limits.first_request_timeout:
            return Step.ABORT_UNUSED
        if facts.idle_since is not None and facts.now - facts.idle_since >= limits.idle_timeout:
            return Step.LEAVE_IDLE
        if limits.max_age is not None and facts.now - facts.opened_at >= limits.max_age:
            return Step.LEAVE_OLD
    wants_answer = facts.is_server or facts.idle_since is None
    if wants_answer and facts.asked_at is None and facts.now - facts.heard_at >= limits.keepalive_time:
        return Step.ASK
    return Step.NOTHING


def pulse_interval(limits: TransportLimits) -> float:
    """Return the seconds from one pulse to the next: short against every limit that it keeps."""
    shortest = min(
        limits.stall_timeout,
        limits.keepalive_time,
        limits.keepalive_timeout,
        limits.first_request_timeout,
        limits.idle_timeout,
        limits.max_age or limits.idle_timeout,
    )
    return max(_SHORTEST, shortest / _BEATS_PER_LIMIT)
