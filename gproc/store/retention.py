"""Which finished jobs are kept, and which are forgotten. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gproc.model import Identity, JobId, JobStatus

__all__ = ["Retention", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long finished jobs are kept, for each owner; the first bound that is reached counts."""

    age: timedelta | None = timedelta(days=30)
    """Time since they ended."""
    count: int | None = 10_000
    """Finished jobs of one owner."""
    bytes: int | None = 64 * 1024**3
    """Output of the finished jobs of one owner."""


def expired(statuses: Iterable[JobStatus], retention: Retention, *, now: datetime) -> list[JobId]:
    """Return the ids of the finished jobs that *retention* does not keep, the oldest first."""
    by_owner: dict[Identity, list[JobStatus]] = {}
    for status in statuses:
        if status.is_final:
            by_owner.setdefault(status.owner, []).append(status)
    return sorted(job_id for owned in by_owner.values() for job_id in _expired_of_owner(owned, retention, now))


def _expired_of_owner(owned: list[JobStatus], retention: Retention, now: datetime) -> Iterable[JobId]:
    owned.sort(key=lambda status: status.id, reverse=True)
    kept_bytes = 0
    for position, status in enumerate(owned):
        kept_bytes += status.output_bytes - status.dropped_bytes
        too_old = retention.age is not None and status.ended_at is not None and now - status.ended_at > retention.age
        too_many = retention.count is not None and position >= retention.count
        too_big = retention.bytes is not None and kept_bytes > retention.bytes and position > 0
        if too_old or too_many or too_big:
            yield status.id
