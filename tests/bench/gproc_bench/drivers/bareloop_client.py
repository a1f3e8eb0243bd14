"""Receives a file over TLS with a blocking loop and nothing else, in messages that the caller may keep."""

from __future__ import annotations

import socket
import sys

from gproc_bench.drivers.asked import Answer, serve
from gproc_bench.drivers.counting import Arrivals
from gproc_bench.drivers.tls import Carried, client_context

MESSAGE = 512 * 1024


def message(connection: Carried, size: int) -> memoryview:
    """Return the next *size* bytes, in memory of their own; fewer if the server leaves."""
    place = memoryview(bytearray(size))
    filled = 0
    while filled < size and (count := connection.receive_into(place[filled:])):
        filled += count
    return place[:filled]


def main(port: str, ca: str, cert: str, key: str) -> None:
    """Connect once, then fetch what is asked for."""
    with socket.create_connection(("127.0.0.1", int(port))) as sock:
        connection = Carried(sock, client_context(ca, cert, key), server_hostname="localhost")

        def fetch(path: str, size: int, hashed: bool) -> Answer:
            arrivals = Arrivals(hashed=hashed)
            connection.send(path.encode())
            left = size
            while left and (piece := message(connection, min(left, MESSAGE))):
                arrivals.add(piece)
                left -= len(piece)
            return arrivals.result()

        serve({"fetch": fetch})


if __name__ == "__main__":
    main(*sys.argv[1:5])
