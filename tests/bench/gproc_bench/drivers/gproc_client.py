"""A program that uses `gproc.Client` on one open connection, and says how long things took."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from gproc import Chunk, Client
from gproc.client import Job, ListQuery
from gproc_bench.delays import Delays
from gproc_bench.drivers.asked import Answer, serve_async
from gproc_bench.drivers.counting import Arrivals
from gproc_bench.drivers.many import many, timed


class Deeds:
    """What can be asked for; jobs are remembered by id."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jobs: dict[str, Job] = {}
        self._held: list[Job] = []

    async def make(self, command: str, args: list[str]) -> Answer:
        """Run a job to its end and remember it."""
        job = await self._client.start(command, args)
        status = await job.wait()
        self._jobs[job.id] = job
        return {
            "id": job.id,
            "exit_code": status.exit_code,
            "output_bytes": status.output_bytes,
            "dropped_bytes": status.dropped_bytes,
        }

    async def replay(self, job: str, hashed: bool) -> Answer:
        """Take all output of a job that has ended."""
        arrivals = Arrivals(hashed=hashed)
        return await _taken(self._jobs[job], arrivals)

    async def live(self, command: str, args: list[str], hashed: bool) -> Answer:
        """Start a job and take its output until it ends, then remove it.

        Removed, because output that is kept makes the page cache grow from turn to turn, and memory that a virtual
        machine has not used for a while is slow to come: after some GiB the figure was half of what it had been.
        """
        arrivals = Arrivals(hashed=hashed)
        job = await self._client.start(command, args)
        answer = await _taken(job, arrivals)
        await job.remove()
        return answer

    async def delays(self, command: str, args: list[str]) -> Answer:
        """Start a job that writes `stamps`, and note how late they come."""
        delays = Delays()
        job = await self._client.start(command, args)
        async with aclosing(job.output()) as output:
            async for event in output:
                if isinstance(event, Chunk):
                    delays.add(event.data, time.monotonic_ns())
        return {"seconds": delays.seconds}

    async def first_byte(self, count: int, in_flight: int) -> Answer:
        """Start jobs that write a line, and note when its first byte is here."""
        seconds: list[float] = []

        async def one() -> None:
            start = time.perf_counter()
            job = await self._client.start("echo", ["here"])
            async with aclosing(job.output()) as output:
                async for event in output:
                    if isinstance(event, Chunk):
                        seconds.append(time.perf_counter() - start)
                        break
            await job.wait()

        await many(one, count, in_flight)
        return {"seconds": seconds}

    async def jobs(self, count: int, in_flight: int) -> Answer:
        """Start jobs that do nothing and wait for each."""

        async def one() -> None:
            job = await self._client.start("true")
            status = await job.wait()
            if status.exit_code != 0:
                raise RuntimeError(f"`true` ended as {status}")

        return await timed(one, count, in_flight)

    async def hold(self, count: int) -> Answer:
        """Start jobs that sleep; return their pids."""
        self._held = [await self._client.start("sleep", ["1000"]) for _ in range(count)]
        return {"pids": [job.status.pid for job in self._held if job.status is not None]}

    async def release(self) -> Answer:
        """Stop what `hold` started."""
        await asyncio.gather(*(job.stop() for job in self._held))
        self._held = []
        return {}

    async def first_page(self, count: int) -> Answer:
        """Ask for the first page of jobs, *count* times."""
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            page = await self._client.page(ListQuery())
            seconds.append(time.perf_counter() - start)
            if not page.jobs:
                raise RuntimeError("the first page is empty")
        return {"seconds": seconds}

    async def total(self) -> Answer:
        """Count all jobs, page by page."""
        async with aclosing(self._client.list(page_size=1000)) as jobs:
            return {"total": len([job async for job in jobs])}

    async def remove(self, job: str) -> Answer:
        """Forget a job and its output."""
        await self._jobs.pop(job).remove()
        return {}


async def _taken(job: Job, arrivals: Arrivals) -> Answer:
    async with aclosing(job.output()) as output:
        async for event in output:
            if isinstance(event, Chunk):
                arrivals.add(event.data)
    return arrivals.result()


async def main(addr: str, ca: str, cert: str, key: str) -> None:
    """Connect once, then do what is asked for."""
    async with Client(addr, cacert=ca, cert=cert, key=key) as client:
        deeds = Deeds(client)
        names = [name for name in vars(Deeds) if not name.startswith("_")]
        table: dict[str, Callable[..., Awaitable[Answer]]] = {name: getattr(deeds, name) for name in names}
        await serve_async(table)


if __name__ == "__main__":
    from gproc_bench.drivers.loops import run

    run(main(*sys.argv[1:5]))
