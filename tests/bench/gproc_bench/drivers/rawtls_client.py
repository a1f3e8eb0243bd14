"""Receives a file over TLS with asyncio streams and nothing else."""

from __future__ import annotations

import asyncio
import sys

from gproc_bench.drivers.asked import Answer, serve_async
from gproc_bench.drivers.counting import Arrivals
from gproc_bench.drivers.tls import client_context

MESSAGE = 512 * 1024


async def main(port: str, ca: str, cert: str, key: str) -> None:
    """Connect once, then fetch what is asked for."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(port), ssl=client_context(ca, cert, key), server_hostname="localhost", limit=4 * MESSAGE
    )

    async def fetch(path: str, size: int, hashed: bool) -> Answer:
        arrivals = Arrivals(hashed=hashed)
        writer.write(path.encode() + b"\n")
        left = size
        while left and (piece := await reader.read(min(left, MESSAGE))):
            arrivals.add(piece)
            left -= len(piece)
        return arrivals.result()

    await serve_async({"fetch": fetch})
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
