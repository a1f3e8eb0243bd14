"""A budget: so many per period, refilled evenly, and more for those who earn it.

Most attacks on HTTP/2 are legal frames in illegal numbers. A budget says how many are too many. What a peer provokes
by honest use (window updates and pings while it receives much) is earned by what we send, so that a fast reader is not
taken for an attacker.
"""

from __future__ import annotations

__all__ = ["Budget"]

_EARNINGS_KEPT = 100_000


class Budget:
    """Counts down from *size*; full again after *period* seconds without spending."""

    def __init__(self, size: int, period: float, *, now: float) -> None:
        self._size = float(size)
        self._rate = size / period
        self._left = float(size)
        self._earned = 0.0
        self._now = now

    def spend(self, *, now: float, amount: float = 1.0) -> bool:
        """Take *amount*; return whether there was enough."""
        if self._earned >= amount:
            self._earned -= amount
            return True
        self._left = min(self._size, self._left + (now - self._now) * self._rate) - amount
        self._now = now
        return self._left >= 0

    def earn(self, amount: float) -> None:
        """Allow *amount* more, at any later time."""
        self._earned = min(_EARNINGS_KEPT, self._earned + amount)
