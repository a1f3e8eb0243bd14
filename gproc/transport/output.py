"""The output of jobs on its way: one gRPC message at a time, its bytes copied as rarely as can be.

A handler on the server does ``await output_room(stream)`` before it reads the next chunk, so that a reader who does
not read costs no memory, then ``await send_output(stream, encode_output_head(…), chunk)``. A client does ``message =
await recv_output(stream)`` and ``decode_output(message)`` until it gets None. Any gRPC client or server can be at the
other end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gproc.transport.connection import ServerConnection
from gproc.transport.streams import BURST, HEAD, GuardedStream

if TYPE_CHECKING:
    from grpclib import client, server

__all__ = ["connection_of", "output_room", "recv_output", "send_output"]


def connection_of(stream: server.Stream[Any, Any]) -> ServerConnection:
    """Return the connection that a request came on; its ``owner`` is what the hook set."""
    connection = stream._stream.connection  # noqa: SLF001
    if not isinstance(connection, ServerConnection):
        raise TypeError("the request did not come through a HardenedServer")
    return connection


async def output_room(stream: server.Stream[Any, Any]) -> int:
    """Wait until the client takes more output; return how many bytes of it leave at once, with the message's head.

    It is 256 KiB at most. A sender who reads more keeps in memory what has to wait. Ends like `send_output`.
    """
    if not stream._send_initial_metadata_done:  # noqa: SLF001
        await stream.send_initial_metadata()  # it may have to wait, too, and is not to keep a chunk waiting
    guarded = _guarded(stream)
    await guarded.give_way()
    return min(BURST, await guarded.room(BURST + HEAD) - HEAD)


async def send_output(stream: server.Stream[Any, Any], head: bytes, data: bytes | memoryview = b"") -> None:
    """Send one message, ``head + data``; *data* must never change (`bytes`, or a view of them).

    Waits while the client does not read; if it does not for `TransportLimits.stall_timeout`, the stream is cut: the
    caller is cancelled, as when the client leaves, and the client gets UNAVAILABLE. Cancelled by its own caller, a part
    of the message may have been sent, and the stream must be ended.
    """
    if not stream._send_initial_metadata_done:  # noqa: SLF001
        await stream.send_initial_metadata()
    guarded = _guarded(stream)
    view = memoryview(data)
    prefix = b"\0" + (len(head) + len(view)).to_bytes(4, "big") + head
    await guarded.send_parts(prefix, view)
    stream._send_message_done = True  # noqa: SLF001
    stream._messages_sent += 1  # noqa: SLF001
    guarded.connection.messages_sent += 1
    guarded.connection.last_message_sent = time.monotonic()


async def recv_output(stream: client.Stream[Any, Any]) -> memoryview | None:
    """Return the next message as it came, or None at the end; the view is valid for ever, and nobody else's.

    Raises like grpclib's ``recv_message``: `GRPCError` with the server's status, `StreamTerminatedError` (of it
    `ConnectionLost`) when the stream breaks. The first call decides: ``recv_message`` cannot be used after it.
    """
    if not stream._recv_initial_metadata_done:  # noqa: SLF001
        await stream.recv_initial_metadata()
    guarded = _guarded(stream)
    with stream._wrapper:  # noqa: SLF001
        message = await guarded.buffer.read_message()
    if message is not None:
        stream._messages_received += 1  # noqa: SLF001
        guarded.connection.messages_received += 1
        guarded.connection.last_message_received = time.monotonic()
    return message


def _guarded(stream: server.Stream[Any, Any] | client.Stream[Any, Any]) -> GuardedStream:
    guarded = stream._stream  # noqa: SLF001
    if not isinstance(guarded, GuardedStream):
        raise TypeError("the stream belongs to neither a HardenedServer nor a HardenedChannel")
    return guarded
