"""Shims whose job is over, and which wait for another.

A shim that has run a job has all its pages, and has run all its code: the next job costs it a fifth of what a shim
costs that was just forked. So they are kept, a few of them, and only for a moment: those who start one job after
another find one, and nobody else pays for it.
"""

from __future__ import annotations

import asyncio
import time

from gproc.worker.link import ShimLink

__all__ = ["Standby"]

_MOST = 32
_IDLE_SECONDS = 1.0


class Standby:
    """Takes links whose job is final, and gives those back whose shim says that it is idle."""

    def __init__(self) -> None:
        self._ending: set[ShimLink] = set()
        """Those that bring their job's last bytes to the disk: then they are idle, or hang up."""
        self._idle: dict[ShimLink, float] = {}
        """Since when each has been; the last one is the first to be taken, so that the others may go."""
        self._look: asyncio.TimerHandle | None = None

    def expect(self, link: ShimLink) -> None:
        """Wait for the shim of *link*, whose job is final, to be idle."""
        if link.was_mute:
            # A signal that tells it to stop its job may be on the way (`leave_stop`): it must not meet another job.
            link.close()
            return
        self._ending.add(link)
        link.leave_to(self._heard)
        self._heard(link)

    def take(self) -> ShimLink | None:
        """Return the link to an idle shim, for `ShimLink.following`, or None."""
        return self._idle.popitem()[0] if self._idle else None

    def close(self) -> None:
        """Hang up on all: those that are idle end, the others when they are done."""
        if self._look is not None:
            self._look.cancel()
        for link in [*self._ending, *self._idle]:
            link.close()

    def _heard(self, link: ShimLink) -> None:
        if link.is_down:
            self._ending.discard(link)
            self._idle.pop(link, None)
        elif link.is_idle and link in self._ending:
            self._ending.discard(link)
            if len(self._idle) < _MOST:
                self._idle[link] = time.monotonic()
                self._look_later()
            else:
                link.close()

    def _look_later(self) -> None:
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """Hang up on those that nobody needed."""
        self._look = None
        for link, since in list(self._idle.items()):
            if time.monotonic() - since >= _IDLE_SECONDS:
                del self._idle[link]
                link.close()
        if self._idle:
            self._look_later()
