"""Several jobs at once: their statuses and output come in, and whoever shows them is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from gproc.cli.console import being_mended
from gproc.errors import GprocError
from gproc.model import Chunk, Gap, JobId, JobStatus

if TYPE_CHECKING:
    from gproc.client import Client

__all__ = ["Show", "follow_jobs"]

_MOST_FOLLOWED = 64  # streams of one connection; servers allow about a hundred
_LOOK_EVERY = 0.5  # seconds


class Show(Protocol):
    """Shows jobs as they go."""

    def job(self, status: JobStatus) -> None:
        """Take note of a new job, or of a change."""

    async def output(self, job_id: JobId, piece: Chunk | Gap) -> None:
        """Take note of output."""

    def say(self, text: str) -> None:
        """Tell something about the watching itself."""


class _Outage:
    """Tells once when the server is away, however many streams broke, and once when it is back."""

    def __init__(self, client: Client, show: Show, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._show = show
        self._group = group
        self._looking: asyncio.Task[None] | None = None
        self._all_asked_at = 0.0

    def begins(self, error: GprocError, pause: float) -> None:
        self._all_asked_at = max(self._all_asked_at, time.monotonic() + pause)
        if self._looking is None or self._looking.done():
            self._show.say(being_mended(error))
            self._looking = self._group.create_task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self._client.connect()
            except GprocError:  # those who follow give up in their own time
                continue
            if time.monotonic() >= self._all_asked_at:  # before, a stream that pauses would still be behind
                self._show.say("connected again")
                return

    def end(self) -> None:
        """Look no longer."""
        if self._looking is not None:
            self._looking.cancel()


class _Following:
    """The jobs that are followed: each has one task that reads its output until it ends."""

    def __init__(self, client: Client, show: Show, group: asyncio.TaskGroup, tail_lines: int | None) -> None:
        self._client = client
        self._show = show
        self._group = group
        self._tail_lines = tail_lines
        self._turns = asyncio.Semaphore(_MOST_FOLLOWED)
        self._is_crowd_told = False
        self.outage = _Outage(client, show, group)
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self.last: dict[JobId, JobStatus] = {}

    def take(self, status: JobStatus) -> None:
        """Show a status; begin to follow a job that is new."""
        known = self.last.get(status.id)
        if known is not None and known.is_final:
            return
        self.last[status.id] = status
        self._show.job(status)
        if status.id not in self._tasks:
            self._tasks[status.id] = self._group.create_task(self._in_turn(status.id))

    async def _in_turn(self, job_id: JobId) -> None:
        if self._turns.locked() and not self._is_crowd_told:
            self._is_crowd_told = True
            self._show.say(f"more than {_MOST_FOLLOWED} jobs: output of the others is shown as some of these end")
        async with self._turns:
            await self._follow(job_id)

    async def _follow(self, job_id: JobId) -> None:
        output = self._client.output(job_id, tail_lines=self._tail_lines)
        output.on_break = self.outage.begins
        try:
            async with output as pieces:
                async for piece in pieces:
                    await self._show.output(job_id, piece)
        except GprocError as error:
            self._show.say(f"{job_id}: {error}")
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
            following.outage.end()
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
