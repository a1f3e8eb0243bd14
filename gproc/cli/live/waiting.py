"""Waiting for jobs to end: what people are told meanwhile."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from gproc.cli.console import being_mended, is_terminal, note
from gproc.errors import GprocError

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId

__all__ = ["Waiting", "waiting_on"]

_QUIET_SECONDS = 3.0
_LONGEST_PAUSE = 60.0
_MOST_ASKED = 5
_NEW_OUTAGE_SECONDS = 60.0  # longer than any pause between two attempts


class Waiting:
    """The jobs that are waited for, and what was told of them; made by `waiting_on`."""

    def __init__(self, client: Client, *, broken: str) -> None:
        self._client = client
        self._broken = broken
        self._last_break = -math.inf
        self._pending: dict[JobId, None] = {}
        self._told: set[str] = set()

    @contextmanager
    def job(self, job_id: JobId) -> Iterator[None]:
        """Wait for that job while inside."""
        self._pending[job_id] = None
        try:
            yield
        finally:
            self._pending.pop(job_id, None)

    def on_break(self, error: GprocError, _pause: float) -> None:
        """Tell of a break, once for all jobs and attempts."""
        now = time.monotonic()
        if now - self._last_break > _NEW_OUTAGE_SECONDS:
            note(being_mended(error, self._broken))
        self._last_break = now

    async def tell(self) -> None:
        """Tell what is waited for, again when there is news of it, until cancelled."""
        pause = _QUIET_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            pending = list(self._pending)
            if len(pending) > 1:
                self._tell_once("several", f"waiting for {len(pending)} jobs to end")
            for job_id in pending[:_MOST_ASKED]:
                reason = await self._reason(job_id)
                if job_id in self._pending and (reason or len(pending) == 1):
                    self._tell_once(job_id + reason, f"waiting for job {job_id} to end" + (reason and f"; {reason}"))

    async def _reason(self, job_id: JobId) -> str:
        with suppress(GprocError):
            return (await self._client.status(job_id)).reason
        return ""

    def _tell_once(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            note(text)


@asynccontextmanager
async def waiting_on(client: Client, *, broken: str) -> AsyncIterator[Waiting]:
    """Tell whoever looks at a terminal what is waited for, if it takes long; *broken* is said of a broken connection.

    It never fails, and says nothing any more when left.
    """
    waiting = Waiting(client, broken=broken)
    telling = asyncio.create_task(waiting.tell()) if is_terminal(sys.stderr) else None
    try:
        yield waiting
    finally:
        if telling is not None:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
