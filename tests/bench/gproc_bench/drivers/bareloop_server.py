"""Sends a file over TLS with a blocking loop and nothing else: no event loop, no protocol, one client."""

from __future__ import annotations

import os
import socket
import sys

from gproc_bench.drivers.asked import tell
from gproc_bench.drivers.tls import Carried, server_context

MESSAGE = 512 * 1024


def send(connection: Carried, path: str) -> None:
    """Send the content of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        offset = 0
        while piece := os.pread(descriptor, MESSAGE, offset):
            offset += len(piece)
            connection.send(piece)
    finally:
        os.close(descriptor)


def main(ca: str, cert: str, key: str) -> None:
    """Answer each message, a path, with the content of that file, until the client leaves; the port comes first."""
    context = server_context(ca, cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tell(f"port {listener.getsockname()[1]}")
        sock, _ = listener.accept()
    place = memoryview(bytearray(4096))
    with sock:
        connection = Carried(sock, context)
        while count := connection.receive_into(place):
            send(connection, bytes(place[:count]).decode())


if __name__ == "__main__":
    main(*sys.argv[1:4])
