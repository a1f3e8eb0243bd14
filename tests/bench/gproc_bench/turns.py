"""Who is measured when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["in_turn"]

T = TypeVar("T")


def in_turn(field: Sequence[T], turn: int) -> list[T]:
    """Return the order of one round: every odd one is the one before it backwards, every pair has a new beginner.

    A machine that slows down, or a cache that warms up, then favours nobody.
    """
    if not field:
        return []
    start = turn // 2 % len(field)
    order = [*field[start:], *field[:start]]
    return order[::-1] if turn % 2 else order
