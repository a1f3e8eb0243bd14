"""Tasks and threads that have an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Tasks"]

_THREADS = 4

Result = TypeVar("Result")


class Tasks:
    """Everything that goes on in the background of one supervisor; nothing of it outlives `close`."""

    def __init__(self) -> None:
        self.is_closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gproc")
        self._searching = asyncio.Lock()

    def own(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run *work* as a task that is cancelled, and waited for, by `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """Return what *work* does in a thread, where it may wait for the disk. Cancelling does not stop it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def search(self, work: Callable[..., Result], *args: Any) -> Result:
        """Do what `thread` does with *work* that may take long: one at a time, so that threads are left for others."""
        async with self._searching:
            return await self.thread(work, *args)

    async def close(self) -> None:
        """Cancel all tasks and wait for them, then for all threads."""
        self.is_closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
