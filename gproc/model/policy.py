"""Who may run what, and how much of it, as a configuration says it and a server holds it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Quotas", "Rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the owners that match a glob may run. Patterns as in a shell: ``*``, ``?``, ``[a-z]``.

    A pattern without a slash speaks about a program's bare name, one with a slash about its whole path.
    """

    owner: str = "*"
    allow: tuple[str, ...] = ()
    """Empty: everything that is not denied."""
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How much each owner may have at once; None means no limit."""

    running_jobs: int | None = None
    followers: int | None = 4096
    """Open streams of output or statuses."""
    connections: int | None = 64
    starts_per_second: float | None = None
