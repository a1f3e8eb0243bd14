"""Several jobs at once: their statuses and output come in, and whoever shows them is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from gproc.cli.console import note
from gproc.errors import GprocError
from gproc.model import Chunk, Gap, JobId, JobStatus

if TYPE_CHECKING:
    from gproc.client import Client

__all__ = ["Show", "follow_jobs"]

_MOST_FOLLOWED = 64  # streams of one connection; servers allow about a hundred


class Show(Protocol):
    """Shows jobs as they go."""

    def job(self, status: JobStatus) -> None:
        """Take note of a new job, or of a change."""

    async def output(self, job_id: JobId, piece: Chunk | Gap) -> None:
        """Take note of output."""


class _Following:
    """The jobs that are followed: each has one task that reads its output until it ends."""

    def __init__(self, client: Client, show: Show, group: asyncio.TaskGroup, tail_lines: int | None) -> None:
        self._client = client
        self._show = show
        self._group = group
        self._tail_lines = tail_lines
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self.last: dict[JobId, JobStatus] = {}

    def take(self, status: JobStatus) -> None:
        """Show a status; begin to follow a job that is new."""
        known = self.last.get(status.id)
        if known is not None and known.is_final:
            return
        self.last[status.id] = status
        self._show.job(status)
        if status.id not in self._tasks and len(self._tasks) < _MOST_FOLLOWED:
            self._tasks[status.id] = self._group.create_task(self._follow(status.id))

    async def _follow(self, job_id: JobId) -> None:
        output = self._client.output(job_id, tail_lines=self._tail_lines)
        try:
            async with output as pieces:
                async for piece in pieces:
                    await self._show.output(job_id, piece)
        except GprocError as error:
            note(f"{job_id}: {error}")
        if output.end is not None:
            self.take(output.end)

    @property
    def is_over(self) -> bool:
        """Whether every job has ended and all its output was read."""
        return all(task.done() for task in self._tasks.values()) and all(s.is_final for s in self.last.values())


async def follow_jobs(
    client: Client,
    first: Sequence[JobStatus],
    show: Show,
    *,
    with_new_ones: bool,
    tail_lines: int | None = None,
    redraw: Callable[[], None] | None = None,
    pause: float = 0.08,
) -> list[JobStatus]:
    """Follow the jobs in *first*, and those started meanwhile if *with_new_ones*; return how they ended.

    Returns when all have ended. *redraw* is called every *pause* seconds. Cancelling stops watching; jobs go on.
    """
    try:
        async with asyncio.TaskGroup() as group:
            following = _Following(client, show, group, tail_lines)
            for status in first:
                following.take(status)
            ids = [] if with_new_ones else [status.id for status in first]
            changes = group.create_task(_take_changes(client, ids, following))
            while not following.is_over:
                if redraw is not None:
                    redraw()
                await asyncio.sleep(pause)
            changes.cancel()
    except BaseExceptionGroup as group:
        # Nobody gains from knowing that there were several tasks: one failure ended all of them.
        raise _first_failure(group) from None
    return list(following.last.values())


def _first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_failure(first) if isinstance(first, BaseExceptionGroup) else first


async def _take_changes(client: Client, ids: Sequence[JobId], following: _Following) -> None:
    async with aclosing(client.watch(ids)) as statuses:
        async for status in statuses:
            if status.id in following.last or not status.is_final:
                following.take(status)
