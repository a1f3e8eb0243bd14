"""What is left in the server after many jobs and followers: nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from gproc.client import Client
from gproc.model import Chunk
from gproc.testing import embedded_server
from gproc.testing.faults import ServerProcess
from gproc_chaos.figure import Check, Stage, at_most
from gproc_chaos.process import Holdings, resident_bytes

__all__ = ["leaks"]

_MIB = 1 << 20
_AT_ONCE = 16
_CONNECTIONS = 4
"""A connection on which 200 streams are reset within 10 s is taken for an attack, so the followers are on several."""
_SETTLE_SECONDS = 5.0
_POOLS = 24
_TALKER = ["-c", "while :; do echo talk; sleep 0.2; done"]


async def leaks(stage: Stage) -> Sequence[Check]:
    """Start and stop jobs, join and leave a job that runs, and compare what the server holds before and after."""
    count, warm = stage.pick(40, 1000), stage.pick(40, 1500)  # until pools of threads and memories of streams are full
    async with ServerProcess(stage.room("server")) as server:
        clients = [server.client("alice") for _ in range(_CONNECTIONS)]
        talker = await clients[0].start("sh", _TALKER)
        await _live(clients, talker.id, warm)
        before = await _settled(server.pid)
        # Threads come as they are needed, until the pools are full; nobody ends them.
        before = replace(before, threads=max(before.threads, _POOLS))
        memory = resident_bytes(server.pid)
        await _live(clients, talker.id, count)
        after = await _settled(server.pid, wanted=before)
        grown = resident_bytes(server.pid) - memory
    tasks = await _tasks(stage)
    checks = [
        Check(f"after {count} jobs and {count} followers", str(after), f"<= {before}", is_ok=after.is_within(before)),
        at_most("asyncio tasks left (embedded server)", tasks, 0),
    ]
    return [*checks, at_most("growth", grown / _MIB, 1, " MiB")] if stage.full else checks


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
