"""One line in the log for each job that ends while the server looks on."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime

from gproc.model import JobId, JobState, JobStatus
from gproc.server.log import EventLog
from gproc.worker import Supervisor

__all__ = ["log_endings", "was_executed"]


async def log_endings(supervisor: Supervisor, log: EventLog) -> None:
    """Write ``job_ended`` once for every job that becomes final from now on, until cancelled.

    What was final before is old news, and a job whose program could not be executed is none.
    """
    since = datetime.now(UTC)
    living: set[JobId] = set()
    async with aclosing(supervisor.watch()) as statuses:
        async for status in statuses:
            if not status.is_final:
                living.add(status.id)
            elif _is_news(status, living, since) and was_executed(status):
                _write(status, log)
            if status.is_final:
                living.discard(status.id)


def _is_news(status: JobStatus, living: set[JobId], since: datetime) -> bool:
    is_younger = status.created_at is not None and status.created_at >= since
    return status.id in living or is_younger


def was_executed(status: JobStatus) -> bool:
    """Whether *status* is more than what is left of a start that failed, and was answered with the reason."""
    return status.state is not JobState.LOST or bool(status.reason)


def _write(status: JobStatus, log: EventLog) -> None:
    log.info(
        "job_ended",
        owner=status.owner,
        job=status.id,
        state=status.state.value,
        exit_code=status.exit_code,
        signal=status.signal,
        reason=status.reason,
    )
