"""Waiting for a change without missing one."""

from __future__ import annotations

import asyncio

__all__ = ["Changes"]


class Changes:
    """Wakes everybody who waits, at every change.

    Look first, then wait, with nothing awaited in between: then no change is missed. Nothing is queued for anybody.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Wake all who wait now."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Return at the next change."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter.cancelled():
                self._waiters = [other for other in self._waiters if other is not waiter]
