"""Runs commands over one SSH connection with asyncssh."""

from __future__ import annotations

import asyncio
import sys
import time

import asyncssh

from gproc_bench.drivers.asked import Answer, serve_async
from gproc_bench.drivers.many import many


async def main(port: str, user: str, known_hosts: str, key: str) -> None:
    """Connect once, then run what is asked for."""
    async with asyncssh.connect(
        "127.0.0.1", int(port), username=user, known_hosts=known_hosts, client_keys=[key], config=None, agent_path=None
    ) as connection:

        async def one() -> None:
            await connection.run("true", check=True)

        async def jobs(count: int, in_flight: int) -> Answer:
            start = time.perf_counter()
            await many(one, count, in_flight)
            return {"seconds": time.perf_counter() - start}

        await serve_async({"jobs": jobs})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
