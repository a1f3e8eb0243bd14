"""Who may run what, and how much of it. Decisions only: no clock, no connection, no job.

Rules speak about commands, not about what commands do: whoever may run a shell may run everything. An allow list is
therefore checked strictly (a bare name counts only while the request leaves the search path and the loader alone),
and a deny list is a courtesy that keeps people from accidents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import basename, isabs, join, normpath

from gproc.errors import PermissionDenied, QuotaExceeded
from gproc.model import Identity, JobRequest
from gproc.model.policy import Rule

__all__ = ["Bucket", "check_command", "check_quota", "is_full", "take_token"]

_STEERING = ("PATH", "LD_*", "GCONV_PATH")
"""Variables that change which program a name means, or what is loaded into it."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Permissions to start: it fills with time, and a start takes one."""

    tokens: float
    at: float


def check_command(rules: Sequence[Rule], owner: Identity, request: JobRequest) -> None:
    """Return if *owner* may run the command of *request*, else raise `PermissionDenied`.

    The first rule for the owner decides; without one, everything is allowed.
    """
    for rule in rules:
        if fnmatchcase(owner, rule.owner):
            _check_denied(rule, owner, request.command)
            _check_allowed(rule, owner, request)
            return


def _check_denied(rule: Rule, owner: Identity, command: str) -> None:
    if any(fnmatchcase(_subject(pattern, command), pattern) for pattern in rule.deny):
        raise PermissionDenied(f"command {command!r}: the policy of this server denies it to {owner}")


def _check_allowed(rule: Rule, owner: Identity, request: JobRequest) -> None:
    if not rule.allow:
        return
    for variable in request.env:
        if any(fnmatchcase(variable, pattern) for pattern in _STEERING):
            raise PermissionDenied(
                f"variable {variable}: not allowed, because it changes what the commands allowed to {owner} mean"
            )
    if not any(_allows(pattern, request) for pattern in rule.allow):
        raise PermissionDenied(f"command {request.command!r}: not among those the policy of this server allows {owner}")


def _allows(pattern: str, request: JobRequest) -> bool:
    command = request.command
    if "/" not in pattern:
        return "/" not in command and fnmatchcase(command, pattern)
    if "/" not in command:
        return False
    path = join(request.working_directory, command)
    # Where ".." leads to is up to the links before it, and those may be the owner's.
    return isabs(path) and ".." not in path.split("/") and _fits(normpath(path), pattern)


def _fits(path: str, pattern: str) -> bool:
    """Whether *path* is as *pattern* says, part by part: nothing in it stands for a slash, as in a shell."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _subject(pattern: str, command: str) -> str:
    return normpath(command) if "/" in pattern else basename(command)


def check_quota(what: str, limit: int | None, current: int, owner: Identity) -> None:
    """Return if *owner*, who has *current* of *what*, may have one more; else raise `QuotaExceeded`."""
    if limit is not None and current >= limit:
        raise QuotaExceeded(f"{what}: {owner} has {current}, and this server allows {limit}; end some and try again")


def take_token(bucket: Bucket | None, rate: float, now: float, owner: Identity) -> Bucket:
    """Return the bucket after one start, or raise `QuotaExceeded` if it is empty.

    It fills with *rate* tokens a second, holds one second's worth (at least one, unless it is 0), and is full at first.
    """
    tokens = _full(rate) if bucket is None else _filled(bucket, rate, now)
    if tokens < 1.0:
        raise QuotaExceeded(f"starts: {owner} may start {rate:g} jobs a second; try again in a moment")
    return Bucket(tokens - 1.0, now)


def is_full(bucket: Bucket, rate: float, now: float) -> bool:
    """Whether *bucket* is as good as none: nothing is left to be known about its owner."""
    return _filled(bucket, rate, now) >= _full(rate)


def _filled(bucket: Bucket, rate: float, now: float) -> float:
    return min(_full(rate), bucket.tokens + max(0.0, now - bucket.at) * rate)


def _full(rate: float) -> float:
    return max(1.0, rate) if rate else 0.0
