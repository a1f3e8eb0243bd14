"""Waiting for something that is going to be true, with a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually", "soon"]

_LOOK_EVERY_SECONDS = 0.005
T = TypeVar("T")


async def eventually(claim: Callable[[], T], within: float = 10.0) -> T:
    """Return what *claim* returns once that counts as true; fail if it does not *within* so many seconds."""
    give_up_at = time.monotonic() + within
    while not (found := claim()):
        assert time.monotonic() < give_up_at, f"not true within {within} seconds: {claim}"
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    return found


def soon(claim: Callable[[], T], within: float = 10.0) -> T:
    """Do what `eventually` does where there is no event loop."""
    give_up_at = time.monotonic() + within
    while not (found := claim()):
        assert time.monotonic() < give_up_at, f"not true within {within} seconds: {claim}"
        time.sleep(_LOOK_EVERY_SECONDS)
    return found
