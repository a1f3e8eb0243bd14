"""Runs commands over one SSH connection with asyncssh."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import asyncssh

from gproc_bench.drivers.asked import serve_async
from gproc_bench.drivers.many import timed


async def main(port: str, user: str, known_hosts: str, key: str) -> None:
    """Connect once, then run what is asked for."""
    async with asyncssh.connect(
        "127.0.0.1", int(port), username=user, known_hosts=known_hosts, client_keys=[key], config=None, agent_path=None
    ) as connection:

        async def one() -> None:
            await connection.run("true", check=True)

        await serve_async({"jobs": partial(timed, one)})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
