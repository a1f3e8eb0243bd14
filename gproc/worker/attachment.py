"""The lines to shims: what they announce, and what became of a job whose line is down."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from gproc.errors import StateError
from gproc.model import JobState
from gproc.store.directory import StateDirectory
from gproc.worker import recovery
from gproc.worker.link import ShimLink
from gproc.worker.registry import Entry
from gproc.worker.standby import Standby
from gproc.worker.tasks import Tasks

__all__ = ["MUTE", "Attachment"]

MUTE = "its shim does not answer"
"""The reason of a job that may well run on, of which nothing can be learned now."""

_ADOPT_SECONDS = 5.0
_LOST_AFTER_SECONDS = 2.0
_ASK_AGAIN_SECONDS = 0.05

_log = logging.getLogger("gproc.worker")


class Attachment:
    """Keeps entries as their shims say they are. ``changed`` is called with each entry whose status is another."""

    def __init__(self, state: StateDirectory, tasks: Tasks, changed: Callable[[Entry], None]) -> None:
        self._state = state
        self._tasks = tasks
        self._changed = changed
        self._standby = Standby()

    async def attach(self, entry: Entry, sock: socket.socket) -> ShimLink:
        """Return the link over *sock*, on which the shim of *entry* is going to speak."""
        link = await ShimLink.over(sock, job_id=entry.id, nonce=entry.nonce, changed=partial(self._heard, entry))
        if not entry.status.is_final:  # a short job may have said all it had to say by now
            entry.link = link
        return link

    def reuse(self, entry: Entry, directory: Path) -> ShimLink | None:
        """Have a shim that is idle run *entry*; return the link on which it is going to speak, None if there is none.

        Not for a job that runs as another user or may dump core: an idle shim can do neither.
        """
        idle = self._standby.take()
        if idle is not None:
            changed = partial(self._heard, entry)
            entry.link = ShimLink.following(idle, directory, job_id=entry.id, nonce=entry.nonce, changed=changed)
        return entry.link

    def close(self) -> None:
        """Let the shims that are idle go."""
        self._standby.close()

    async def adopt(self, entries: Sequence[Entry]) -> None:
        """Find the shims of *entries* again, within one budget for all; the mute ones are asked again later."""
        tasks = [self._tasks.own(self.find_out(entry)) for entry in entries]
        if tasks:
            await asyncio.wait(tasks, timeout=_ADOPT_SECONDS)

    async def find_out(self, entry: Entry) -> None:
        """Find out what became of a job whose shim hung up: it is final, lost, or to be adopted again."""
        give_up_at = time.monotonic() + _LOST_AFTER_SECONDS
        problem, pause = MUTE, _ASK_AGAIN_SECONDS
        while time.monotonic() < give_up_at:
            try:
                if await self._is_over(entry):
                    return
                problem = MUTE
            except OSError as error:
                # Want of descriptors or of disk says nothing about the job, and may last: make nothing up.
                problem = f"what became of it cannot be found out and recorded now: {error.strerror}"
                pause *= 2
            if await self._adopt_one(entry):
                return
            await asyncio.sleep(pause)
        self._tasks.own(self._keep_trying(entry, problem))

    def _heard(self, entry: Entry, link: ShimLink) -> None:
        """Take over what a shim announced."""
        if entry.link is not link and entry.link is not None:
            return
        if link.status is not None and not entry.status.is_final:
            if not link.is_down:
                # First: whoever sees the status may ask the shim at once.
                entry.link = link
            self._take_over(entry, link)
        was_executed = entry.status.state is not JobState.PENDING
        if link.is_down and entry.link is link and was_executed and not entry.status.is_final:
            entry.link = None
            if not self._tasks.is_closing:
                self._tasks.own(self.find_out(entry))

    def _take_over(self, entry: Entry, link: ShimLink) -> None:
        entry.extent = link.extent
        if link.status is None or link.status is entry.status:
            entry.changes.notify()
            return
        entry.status = link.status
        if link.status.is_final:
            entry.extent = replace(link.extent, end=link.status.output_bytes)
            entry.link = None
            self._standby.expect(link)
        self._changed(entry)

    async def _is_over(self, entry: Entry) -> bool:
        """Whether the job is final, or lost, by what is written or can be proven; raises `OSError`."""
        directory = self._state.job(entry.id)
        try:
            status = await self._tasks.thread(recovery.declare_lost, directory)
        except (FileNotFoundError, StateError) as error:
            _log.error("job record unreadable", extra={"job": entry.id, "reason": str(error)})
            why = error.strerror if isinstance(error, OSError) else error  # not where the server keeps its state
            status = replace(entry.status, state=JobState.LOST, reason=f"its record cannot be used: {why}")
        if status is None:
            return False
        entry.extent = await self._tasks.thread(recovery.extent_of, directory, status)
        entry.status = status
        self._changed(entry)
        return True

    async def _adopt_one(self, entry: Entry) -> bool:
        """Whether the shim of *entry* was found, and said how the job is, or that it is over and not recorded yet."""
        about = {"job_id": entry.id, "nonce": entry.nonce, "changed": partial(self._heard, entry)}
        try:
            link = await ShimLink.to(self._state.job(entry.id), **about)
        except (OSError, TimeoutError):
            return False
        with suppress(TimeoutError):
            await link.settled(_LOST_AFTER_SECONDS)
        if entry.link is not link:
            link.close()
        return entry.link is not None or entry.status.is_final

    async def _keep_trying(self, entry: Entry, problem: str) -> None:
        """Serve what is stored of a job of which nothing can be learned now, until something can."""
        with suppress(OSError):
            entry.extent = await self._tasks.thread(recovery.extent_of, self._state.job(entry.id), entry.status)
        if entry.status.reason != problem:
            _log.warning("job not reached", extra={"job": entry.id, "reason": problem})
        entry.status = replace(entry.status, reason=problem)
        self._changed(entry)
        await asyncio.sleep(_LOST_AFTER_SECONDS)
        await self.find_out(entry)
