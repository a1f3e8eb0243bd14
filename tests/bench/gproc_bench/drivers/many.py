"""Does the same thing many times, so many of them at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gproc_bench.drivers.asked import Answer

__all__ = ["many", "timed"]


async def many(one: Callable[[], Coroutine[Any, Any, None]], count: int, in_flight: int) -> None:
    """Run *one* *count* times, *in_flight* at a time."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())


async def timed(one: Callable[[], Coroutine[Any, Any, None]], count: int, in_flight: int) -> Answer:
    """Do the same, and return how many seconds it took."""
    start = time.perf_counter()
    await many(one, count, in_flight)
    return {"seconds": time.perf_counter() - start}
