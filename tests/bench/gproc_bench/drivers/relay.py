"""The two programs between a job and its reader, at their least: what a shim and a server must do with each line.

``keeper FILE``: standard input goes to the file; its new end is said on standard output, a Unix socket.
``server FILE CA CERT KEY``: for each end said on standard input, what is new in the file goes to one client over TLS.
"""

from __future__ import annotations

import os
import socket
import sys

from gproc_bench.drivers.asked import tell
from gproc_bench.drivers.tls import server_context

PIECE = 65536


def keeper(path: str) -> None:
    """Keep what comes until it ends; every byte is in the file before it is announced."""
    descriptor = os.open(path, os.O_WRONLY)
    end = 0
    while piece := os.read(0, PIECE):
        end += os.pwrite(descriptor, piece, end)
        os.write(1, b"%d" % end)


def server(path: str, ca: str, cert: str, key: str) -> None:
    """Serve one client until the keeper ends; the port is the first line on standard output."""
    context = server_context(ca, cert, key)
    descriptor = os.open(path, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tell(f"port {listener.getsockname()[1]}")
        plain, _ = listener.accept()
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, server_side=True) as connection:
        start = 0
        while said := os.read(0, PIECE):
            end = int(said)
            connection.sendall(os.pread(descriptor, end - start, start))
            start = end


if __name__ == "__main__":
    if sys.argv[1] == "keeper":
        keeper(sys.argv[2])
    else:
        server(*sys.argv[2:6])
