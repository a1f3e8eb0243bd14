"""How requests end when the server does.

Requests that wait for a job (followers) are told to come back at once; all others may finish. A follower is only
interrupted while it waits, never in the middle of a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gproc.errors import Unavailable

__all__ = ["Follower", "Gate"]

_T = TypeVar("_T")


class Gate:
    """Lets requests in until the server drains, and knows when the last one is gone."""

    def __init__(self) -> None:
        self.is_draining = False
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._followers: set[Follower] = set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Count one request until the end of the block; raise `Unavailable` if the server drains."""
        if self.is_draining:
            raise _draining()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._empty.set()

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """Make the request a follower until the end of the block."""
        follower = Follower(self)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def drain(self) -> None:
        """Let nobody in any more, and send the followers away. Doing it again changes nothing."""
        self.is_draining = True
        for follower in tuple(self._followers):
            follower.interrupt()

    async def wait_empty(self) -> None:
        """Return when no request is inside."""
        await self._empty.wait()


class Follower:
    """A request that waits for a job, and can be sent away while it does."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._waiting: asyncio.Task[object] | None = None
        self._interrupted = False

    async def wait_for(self, event: Awaitable[_T]) -> _T:
        """Return what *event* gives; raise `Unavailable` if the server drains before it does."""
        if self._gate.is_draining:
            _discard(event)
            raise _draining()
        self._waiting = asyncio.current_task()
        try:
            return await event
        except asyncio.CancelledError:
            if self._interrupted and self._waiting is not None and self._waiting.uncancel() == 0:
                raise _draining() from None
            raise
        finally:
            self._waiting = None

    def interrupt(self) -> None:
        """Send the request away now if it waits, else before it waits again."""
        if self._waiting is not None and not self._interrupted:
            self._interrupted = True
            self._waiting.cancel()


def _discard(event: Awaitable[object]) -> None:
    """Close a coroutine that nobody will wait for."""
    close = getattr(event, "close", None)
    if close is not None:
        close()


def _draining() -> Unavailable:
    return Unavailable("the server is shutting down; its jobs go on: try again in a moment")
