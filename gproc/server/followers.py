"""Requests that wait for a job, and how they end when the server does.

Other requests may finish while the server drains; followers might wait for days, so they are sent away at once.
They are interrupted only where they wait, never in the middle of a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gproc.errors import Unavailable

__all__ = ["Follower", "Followers"]

_T = TypeVar("_T")


class Followers:
    """All followers of a server."""

    def __init__(self) -> None:
        self.are_dismissed = False
        self._present: set[Follower] = set()

    @contextmanager
    def joined(self) -> Iterator[Follower]:
        """Make the request a follower until the end of the block."""
        follower = Follower(self)
        self._present.add(follower)
        try:
            yield follower
        finally:
            self._present.discard(follower)

    def dismiss(self) -> None:
        """Send all followers away, and those who come later. Doing it again changes nothing."""
        self.are_dismissed = True
        for follower in tuple(self._present):
            follower.interrupt()

    def __len__(self) -> int:
        return len(self._present)


class Follower:
    """A request that waits for a job, and can be sent away while it does."""

    def __init__(self, followers: Followers) -> None:
        self._followers = followers
        self._waiting: asyncio.Task[object] | None = None
        self._interrupted = False

    async def wait_for(self, event: Awaitable[_T]) -> _T:
        """Return what *event* gives; raise `Unavailable` if the followers are dismissed before it does."""
        self._waiting = asyncio.current_task()
        if self._followers.are_dismissed:
            self.interrupt()  # *event* is begun all the same, so that no coroutine is left without ever having run
        try:
            result = await event
            if self._interrupted:
                await asyncio.sleep(0)  # it did not have to wait: be interrupted here, not in the middle of a message
        except asyncio.CancelledError:
            if self._interrupted and self._waiting is not None and self._waiting.uncancel() == 0:
                raise Unavailable("the server is shutting down; its jobs go on: try again in a moment") from None
            raise
        else:
            return result
        finally:
            self._waiting = None

    def interrupt(self) -> None:
        """Send the request away now if it waits, else as soon as it waits again."""
        if self._waiting is not None and not self._interrupted:
            self._interrupted = True
            self._waiting.cancel()
