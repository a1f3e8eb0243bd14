"""Ctrl-C while a job runs in the foreground: first to the job, then stop it, then leave it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gproc.cli.console import error_line, note
from gproc.errors import GprocError, JobFinished

if TYPE_CHECKING:
    from gproc.client import Job

__all__ = ["Interrupts"]

_QUIET_SECONDS = 1.0


class Interrupts:
    """While entered, Ctrl-C goes to *job*: SIGINT; the second time Stop; the third time the caller is cancelled.

    Where whoever started us had it ignored, as a shell does for what runs behind it, it is not for the job either.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._count = 0
        self.has_stopped = False
        """Whether the job was asked to stop, and is not known to have missed it."""
        self._asking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._caller = asyncio.current_task()
        # The runner of asyncio has a handler of its own; it is back when this one is removed.
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._pressed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, self._before)
        for task in self._asking:
            task.cancel()
        for task in list(self._asking):
            with suppress(asyncio.CancelledError):
                await task

    def _pressed(self) -> None:
        self._count += 1
        if self._count == 1:
            self._ask(self._pass_on)
        elif self._count == 2:
            note("stopping the job; Ctrl-C again leaves it to itself")
            self.has_stopped = True
            self._ask(self._stop)
        elif self._caller is not None:
            self._caller.cancel()

    async def _pass_on(self) -> None:
        told = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._tell_that_it_waits)
        try:
            await self._job.signal(signal.SIGINT)
        finally:
            told.cancel()

    def _tell_that_it_waits(self) -> None:
        if self._count == 1:
            note("Ctrl-C waits for the server, which has not answered yet; Ctrl-C again stops the job")

    async def _stop(self) -> None:
        try:
            await self._job.stop()
        except GprocError:
            self.has_stopped = False
            raise

    def _ask(self, request: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.get_running_loop().create_task(self._tell_failure(request))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _tell_failure(self, request: Callable[[], Awaitable[object]]) -> None:
        try:
            await request()
        except JobFinished:
            pass
        except GprocError as error:
            error_line(str(error))
