"""Does the same thing many times, so many of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["many"]


async def many(one: Callable[[], Coroutine[Any, Any, None]], count: int, in_flight: int) -> None:
    """Run *one* *count* times, *in_flight* at a time."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
