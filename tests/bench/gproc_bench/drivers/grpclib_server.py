"""Answers calls at once with grpclib on plain asyncio over mutual TLS: what a call costs before anything is done."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Mapping

from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from grpclib.server import Server, Stream

from gproc_bench.drivers.asked import tell
from gproc_bench.drivers.tls import server_context

__all__ = ["METHOD", "AsItIs"]

METHOD = "/bench.Calls/Call"


class AsItIs(CodecBase):
    """Messages are bytes already: encoding them takes no time."""

    __content_subtype__ = "proto"

    def encode(self, message: object, message_type: object) -> bytes:
        """Return *message*."""
        assert isinstance(message, bytes)
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        """Return *data*."""
        return data


class Calls:
    """A service of one method."""

    async def call(self, stream: Stream[bytes, bytes]) -> None:
        """Answer with what came."""
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)

    def __mapping__(self) -> Mapping[str, Handler]:
        """Return what grpclib asks for."""
        return {METHOD: Handler(self.call, Cardinality.UNARY_UNARY, bytes, bytes)}


async def main(ca: str, cert: str, key: str) -> None:
    """Serve until killed; the port is the first line on standard output."""
    context = server_context(ca, cert, key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server([Calls()], codec=AsItIs())
    await server.start(sock=listener, ssl=context)
    tell(f"port {listener.getsockname()[1]}")
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
