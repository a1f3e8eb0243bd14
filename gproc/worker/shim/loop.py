"""A loop over descriptors and deadlines, as small as a shim needs it. Asyncio would double the memory of a shim."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

__all__ = ["Loop"]

_LONGEST_WAIT = 3600.0
"""Seconds; epoll takes no more than 24 days."""


class Loop:
    """Calls back when a descriptor is ready or a named deadline has passed, on the monotonic clock."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._wanted: dict[int, int] = {}
        self._deadlines: dict[str, tuple[float, Callable[[], None]]] = {}

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()

    def watch(self, fd: int, ready: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        """Call ``ready(events)`` whenever *fd* is ready for one of *events*."""
        if fd not in self._ready:
            self._epoll.register(fd, events)
        elif self._wanted[fd] != events:
            self._epoll.modify(fd, events)
        self._ready[fd], self._wanted[fd] = ready, events

    def forget(self, fd: int) -> None:
        """Stop watching *fd*; call it before closing."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, name: str, delay: float, over: Callable[[], None]) -> None:
        """Call *over* once, *delay* seconds from now; replaces the deadline of the same *name*."""
        self._deadlines[name] = (time.monotonic() + delay, over)

    def remaining(self, name: str) -> float | None:
        """Return the seconds until the deadline *name*, or None if there is none."""
        deadline = self._deadlines.get(name)
        return None if deadline is None else deadline[0] - time.monotonic()

    def cancel(self, name: str) -> None:
        """Forget the deadline *name*, if there is one."""
        self._deadlines.pop(name, None)

    def turn(self) -> None:
        """Wait until something is ready or due, and do it."""
        timeout = -1.0
        if self._deadlines:
            until = min(when for when, _ in self._deadlines.values())
            timeout = min(_LONGEST_WAIT, max(0.0, until - time.monotonic()))
        for fd, events in self._epoll.poll(timeout):
            ready = self._ready.get(fd)
            if ready is not None:
                ready(events)
        if self._deadlines:
            now = time.monotonic()
            for name, deadline in list(self._deadlines.items()):
                # One that came before may have put this one off, or forgotten it.
                if deadline[0] <= now and self._deadlines.get(name) is deadline:
                    del self._deadlines[name]
                    deadline[1]()
