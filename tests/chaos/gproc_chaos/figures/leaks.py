"""What is left in the server after many jobs and followers: nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from gproc.client import Client
from gproc.model import Chunk
from gproc.testing import embedded_server
from gproc.testing.faults import ServerProcess
from gproc_chaos.figure import Check, Stage, at_most
from gproc_chaos.process import Holdings, resident_bytes

__all__ = ["leaks"]

_MIB = 1 << 20
_AT_ONCE = 16
_CONNECTIONS = 8
"""A connection on which 200 streams are reset within 10 s is taken for an attack, so the followers are on several."""
_SETTLE_SECONDS = 5.0
_POOLS = 24
_TALKER = ["-c", "while :; do echo talk; sleep 0.2; done"]


async def leaks(stage: Stage) -> Sequence[Check]:
    """Start and stop jobs, join and leave a job that runs, and compare what the server holds before and after."""
    count, warm = stage.pick(40, 1000), stage.pick(40, 2000)  # until pools of threads and memories of streams are full
    async with ServerProcess(stage.room("server")) as server:
        clients = [server.client("alice") for _ in range(_CONNECTIONS)]
        talker = await clients[0].start("sh", _TALKER)
        await _live(clients, talker.id, warm)
        before = await _settled(server.pid)
        # Threads come as they are needed, until the pools are full; nobody ends them.
        before = replace(before, threads=max(before.threads, _POOLS))
        growth = [await _growth(server.pid, _live(clients, talker.id, count)) for _ in range(stage.pick(1, 3))]
        after = await _settled(server.pid, wanted=before)
    tasks = await _tasks(stage)
    checks = [
        Check(f"after {count} jobs and {count} followers", str(after), f"<= {before}", is_ok=after.is_within(before)),
        at_most("asyncio tasks left (embedded server)", tasks, 0),
    ]
    if not stage.full:
        return checks
    told = ", ".join(f"{one:.2f}" for one in growth)
    what = f"growth by {count} jobs and followers, three times; the middle one counts"
    return [*checks, Check(what, f"{told} MiB", "<= 1 MiB", median(growth) <= 1)]


async def _growth(pid: int, deeds: Coroutine[Any, Any, None]) -> float:
    """Return by how many MiB the process grows by *deeds*."""
    before = resident_bytes(pid)
    await deeds
    await asyncio.sleep(1.0)
    return (resident_bytes(pid) - before) / _MIB


async def _live(clients: Sequence[Client], talker: str, count: int) -> None:
    """Start, stop and remove *count* jobs, and join and leave the *talker* as often."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            client = clients[number % len(clients)]
            job = await client.start("sleep", ["60"] if number % 2 else ["0"])
            await client.stop(job.id, grace=1)
            await client.remove(job.id)
            async with client.output(talker) as pieces:
                while not isinstance(await anext(pieces), Chunk):
                    pass

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


async def _settled(pid: int, wanted: Holdings | None = None) -> Holdings:
    """Return what the process holds once that is what is wanted, or has not changed for a moment."""
    last, since, began = Holdings.of(pid), time.monotonic(), time.monotonic()
    while time.monotonic() - began < _SETTLE_SECONDS and time.monotonic() - since < (1.0 if wanted is None else 9.0):
        if wanted is not None and last.is_within(wanted):
            break
        await asyncio.sleep(0.05)
        now = Holdings.of(pid)
        if now != last:
            last, since = now, time.monotonic()
    return last


async def _tasks(stage: Stage) -> int:
    """Return how many tasks jobs and followers leave in a server's event loop."""
    async with embedded_server(directory=stage.room("embedded")) as server, server.client("alice") as client:
        talker = await client.start("sh", _TALKER)
        await _live([client], talker.id, 2)
        before = len(asyncio.all_tasks())
        await _live([client], talker.id, stage.pick(10, 100))
        give_up_at = time.monotonic() + _SETTLE_SECONDS
        while len(asyncio.all_tasks()) > before and time.monotonic() < give_up_at:
            await asyncio.sleep(0.02)
        return len(asyncio.all_tasks()) - before
