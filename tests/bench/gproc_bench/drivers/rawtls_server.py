"""Sends a file over TLS with asyncio streams and nothing else: the ceiling of one asyncio process."""

from __future__ import annotations

import asyncio
import os
import sys

from gproc_bench.drivers.asked import tell
from gproc_bench.drivers.tls import server_context

MESSAGE = 512 * 1024


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line, a path, with the content of that file."""
    while line := await reader.readline():
        descriptor = os.open(line.decode().strip(), os.O_RDONLY)
        try:
            offset = 0
            while piece := os.pread(descriptor, MESSAGE, offset):
                offset += len(piece)
                writer.write(piece)
                await writer.drain()
        finally:
            os.close(descriptor)
    writer.close()


async def main(ca: str, cert: str, key: str) -> None:
    """Serve until killed; the port is the first line on standard output."""
    server = await asyncio.start_server(send, "127.0.0.1", 0, ssl=server_context(ca, cert, key))
    tell(f"port {server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
