"""Trying again: the acting half of `gproc.client.resume`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from gproc.client.connection import Connection
from gproc.client.resume import Backoff, Patience
from gproc.errors import DeadlineExceeded, GprocError, Unavailable
from gproc.model.checks import check_kind

__all__ = ["OnBreak", "Persistence"]

OnBreak = Callable[[GprocError, float], object]
"""Told of each break, and how many seconds the pause before the next attempt will be."""

_T = TypeVar("_T")


class Persistence:
    """Pauses between attempts, and gives up in time."""

    def __init__(self, patience: Patience, connection: Connection, on_break: OnBreak | None = None) -> None:
        check_kind("patience", patience, Patience, "a Patience")
        self._patience = patience
        self._connection = connection
        self._backoff = Backoff(patience, _chance)
        self._attempt_began = time.monotonic()
        self.on_break = on_break
        self.breaks = 0
        """How many failures were mended, or are being mended."""

    def progress(self) -> None:
        """Take note that the last attempt was worth something."""
        self._backoff.progress()

    async def pause(self, error: Unavailable, *, longest: float | None = None) -> None:
        """Sleep before the next attempt, *longest* seconds at most, or until the client is closed.

        Raises *error* instead if trying again is pointless or the patience is over.
        """
        now, up_since = time.monotonic(), self._connection.up_since
        held = 0.0 if up_since is None else now - max(up_since, self._attempt_began)
        delay = self._backoff.failed(now=now, was_reached=self._connection.was_reached, held=held)
        if delay is None or self._connection.is_pointless_after(error):
            raise error
        delay = delay if longest is None else min(delay, longest)
        self.breaks += 1
        if self.on_break is not None:
            self.on_break(error, delay)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._connection.closed.wait()  # then the next attempt says so
        self._attempt_began = time.monotonic()

    async def keep_trying(self, attempt: Callable[[float | None], Awaitable[_T]], *, seconds: float | None) -> _T:
        """Return what *attempt* returns, called until it does not raise `Unavailable` or the patience is over.

        All attempts together take at most that many *seconds*, if given; each is told how many are left.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if end is None else end - time.monotonic()
            try:
                return await attempt(left)
            except Unavailable as error:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= self._patience.first_delay:
                    raise DeadlineExceeded(f"{error} (tried for {seconds:g} s)") from error
                await self.pause(error, longest=None if left is None else left / 2)  # what is left is for the attempt


def _chance() -> float:
    """Return a number from 0 to 1; `random` would take a millisecond to import, for one draw after a break."""
    return os.urandom(1)[0] / 255
