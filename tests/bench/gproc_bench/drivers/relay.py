"""The two programs between a job and its reader, at their least: what a shim and a server must do with each piece.

``keeper FILE``: standard input goes to the file; its new end is said on standard output, a Unix socket.
``server FILE CA CERT KEY``: for each end said on standard input, what is new in the file goes to one client over TLS.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys

from gproc_bench.drivers.asked import tell
from gproc_bench.drivers.tls import Carried, server_context

PIECE = 256 * 1024


def keeper(path: str) -> None:
    """Keep what comes until it ends; every byte is in the file before it is announced."""
    descriptor = os.open(path, os.O_WRONLY)
    fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, 1 << 20)
    place = memoryview(bytearray(PIECE))
    end = 0
    while count := os.readv(0, [place]):
        end += os.pwrite(descriptor, place[:count], end)
        os.write(1, b"%d" % end)


def server(path: str, ca: str, cert: str, key: str) -> None:
    """Serve one client until the keeper ends; the port is the first line on standard output."""
    context = server_context(ca, cert, key)
    descriptor = os.open(path, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tell(f"port {listener.getsockname()[1]}")
        plain, _ = listener.accept()
    with plain:
        connection = Carried(plain, context)
        start = 0
        while said := os.read(0, 64):
            end = int(said)
            connection.send(os.pread(descriptor, end - start, start))
            start = end


if __name__ == "__main__":
    if sys.argv[1] == "keeper":
        keeper(sys.argv[2])
    else:
        server(*sys.argv[2:6])
