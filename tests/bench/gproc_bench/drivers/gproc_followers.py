"""Many followers of one job, half of them stalled, on a few connections."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from gproc import Chunk, Client
from gproc.client import Job
from gproc_bench.drivers.asked import Answer, serve_async
from gproc_bench.drivers.loops import run

PROGRAM = 'while [ ! -e "$1" ]; do sleep 0.05; done; cat "$2"'


class Crowd:
    """Connections, and the readers on them."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self._job_id = ""

    async def prepare(self, go: str, path: str) -> Answer:
        """Start the job; it writes the file at *path* as soon as *go* exists. All connections are open afterwards."""
        job = await self._clients[0].start("sh", ["-c", PROGRAM, "sh", go, path])
        self._job_id = job.id
        for client in self._clients:
            await client.status(job.id)
        return {}

    async def follow(self, go: str, size: int, followers: int) -> Answer:
        """Let all join, let the job write, wait until every second one has everything; the others never read on."""
        jobs = [self._clients[number % len(self._clients)].job(self._job_id) for number in range(followers)]
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            readers = [group.create_task(_read_all(job)) for job in jobs[::2]]
            stalled = [group.create_task(_read_one(job, stack)) for job in jobs[1::2]]
            await asyncio.sleep(1)  # time to join; one who joins later reads the same bytes
            await asyncio.to_thread(Path(go).touch)
            counts = await asyncio.gather(*readers)
            for task in stalled:
                task.cancel()
        if set(counts) != {size}:
            raise RuntimeError(f"of {len(counts)} readers some did not get {size} bytes: {sorted(set(counts))[:5]}")
        return {"readers": len(counts), "stalled": len(stalled)}


async def _read_all(job: Job) -> int:
    total = 0
    async with aclosing(job.output()) as output:
        async for event in output:
            if isinstance(event, Chunk):
                total += len(event.data)
    return total


async def _read_one(job: Job, stack: AsyncExitStack) -> None:
    output = await stack.enter_async_context(aclosing(job.output()))
    await anext(output)
    await asyncio.Event().wait()


async def main(addr: str, ca: str, cert: str, key: str, connections: str = "10") -> None:
    """Connect, then do what is asked for."""
    async with AsyncExitStack() as stack:
        clients = [Client(addr, cacert=ca, cert=cert, key=key) for _ in range(int(connections))]
        for client in clients:
            await stack.enter_async_context(client)
        crowd = Crowd(clients)
        await serve_async({"prepare": crowd.prepare, "follow": crowd.follow})


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
