"""The fast path: how the output of jobs gets past the layers that would copy it.

**Why.** Nearly all bytes that Gproc moves are output. grpclib and h2 copy each of them about nine times on its way out
and six times on its way in. So DATA frames go past them: what Python does for a frame does not grow with its size, and
TLS takes nearly all bytes from where they lie and puts them where they stay. On the sending side, everything but output
stays on plain grpclib and betterproto.

**Out.** A handler does ``await output_room(stream)`` before it reads the next chunk, so that a reader who does not read
costs no memory; then ``await send_output(stream, encode_output_head(…), chunk)``. What leaves is, as far as the windows
of the peer reach, frame by frame: the header of a DATA frame; in the first, the prefix of gRPC and the head of a
`JobOutput` (`job_output`: ``data`` is its last field); and a view of the chunk.

**In.** A client does ``message = await recv_output(stream)`` and ``decode_output(message)`` until it gets None. Its
protocol (`inbound`) finds frames in the bytes as they come (`frames`). A DATA frame that is plain (no flags, hence not
padded, and not empty) on a stream that may receive it is booked, and its bytes go to the buffer of the stream
(`buffers`), which puts the message together. Once a message has begun, TLS (`secure`) decrypts straight into it.

**The books.** `book_sent` and `book_received` do for a frame what h2 would have done, but for its bytes; h2 never knows
the difference. All else is h2's, as ever: headers and trailers, settings, window updates, resets, pings, and DATA that
is not plain. What must stay true, and property tests hold against plain h2 at the other end:

- h2's states and windows are what they would be without the fast path.
- Order: what h2 wants to send leaves before our frames do, and what came before a DATA frame went to h2 before anybody
  looks at that frame.
- Nothing is queued: without room, a message stays with its sender; of what nobody reads, a stream holds a window and a
  message at most.
- The connection's window is given back as bytes arrive, a stream's as they are read: who does not read starves nobody.
- Bytes that were handed over never change, neither a chunk that was sent nor a message that was received.

**Any peer** can be at the other end, for what is on the wire is HTTP/2 and gRPC like any other: frames as small as it
likes, windows opened byte by byte, padding, resets in mid-message, other streams between. Only our own client announces
the large frames and windows (`CLIENT_LIMITS`) that make it fast. What a peer may cost is no business of the fast path:
see `streams` for how a sender waits for room, and lets others have their turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from h2.connection import ConnectionInputs, ConnectionState, H2Connection
from h2.exceptions import StreamClosedError
from h2.stream import StreamInputs, StreamState

from gproc.transport.frames import data_header
from gproc.transport.limits import BURST
from gproc.transport.streams import ConnectionLost, GuardedStream

if TYPE_CHECKING:
    from grpclib import client, server

__all__ = ["book_received", "book_sent", "cut_message", "output_room", "recv_output", "send_output", "send_parts"]

_HEAD = 64
"""What a message of output has beside its data, at most: the prefix of gRPC, and the head of the message."""
_SMALL_PIECE = 8 * 1024
"""Below, a copy costs less than a TLS record of its own."""
_RECEIVING = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL})


# What handlers and clients call


async def output_room(stream: server.Stream[Any, Any]) -> int:
    """Wait until the client takes more output; return how many bytes of it leave at once, with the message's head.

    It is `BURST` at most. A sender who reads more keeps in memory what has to wait. Ends like `send_output`.
    """
    guarded = await _begun(stream)  # it may have to wait, too, and is not to keep a chunk waiting
    await guarded.give_way()
    return min(BURST, await guarded.room(BURST + _HEAD) - _HEAD)


async def send_output(stream: server.Stream[Any, Any], head: bytes, data: bytes | memoryview = b"") -> None:
    """Send one message, ``head + data``; *data* must never change (`bytes`, or a view of them).

    Waits while the client does not read; if it does not for `TransportLimits.stall_timeout`, the stream is cut: the
    caller is cancelled, as when the client leaves, and the client gets UNAVAILABLE. Cancelled by its own caller, a part
    of the message may have been sent, and the stream must be ended.
    """
    guarded = await _begun(stream)
    view = memoryview(data)
    await send_parts(guarded, b"\0" + (len(head) + len(view)).to_bytes(4, "big") + head, view)
    stream._send_message_done = True  # noqa: SLF001


async def recv_output(stream: client.Stream[Any, Any]) -> memoryview | None:
    """Return the next message as it came, or None at the end; the view is valid for ever, and nobody else's.

    Raises like grpclib's ``recv_message``: `GRPCError` with the server's status, `StreamTerminatedError` (of it
    `ConnectionLost`) when the stream breaks. The first call decides: ``recv_message`` cannot be used after it.
    """
    if not stream._recv_initial_metadata_done:  # noqa: SLF001
        await stream.recv_initial_metadata()
    with stream._wrapper:  # noqa: SLF001
        return await _guarded(stream).buffer.read_message()


async def _begun(stream: server.Stream[Any, Any]) -> GuardedStream:
    if not stream._send_initial_metadata_done:  # noqa: SLF001
        await stream.send_initial_metadata()
    return _guarded(stream)


def _guarded(stream: server.Stream[Any, Any] | client.Stream[Any, Any]) -> GuardedStream:
    guarded = stream._stream  # noqa: SLF001
    if not isinstance(guarded, GuardedStream):
        raise TypeError("the stream belongs to neither a HardenedServer nor a HardenedChannel")
    return guarded


# On the way out


async def send_parts(stream: GuardedStream, prefix: bytes, data: memoryview) -> None:
    """Send ``prefix + data``, without copying *data*, in as many frames as it takes.

    *data* must never change: parts of it may leave later. Cancelled, or ended by an error, a part may have left.
    """
    at, size = 0, len(prefix) + len(data)
    while at < size:
        await stream.give_way()
        left = size - at
        # The whole burst and its head together: else its last few bytes wait, and keep all of it in memory.
        room = min(await stream.room(left), left if left <= BURST + _HEAD else BURST)
        _send_frames(stream, prefix, data, at, room)
        at += room


def _send_frames(stream: GuardedStream, prefix: bytes, data: memoryview, start: int, room: int) -> None:
    connection, h2, number = stream.connection, stream.connection.h2, stream.number
    if connection.is_closing():
        raise ConnectionLost("the connection is closed", connection.lost_by)
    book_sent(h2, number, room)
    largest = h2.max_outbound_frame_size
    connection.write(cut_message(prefix, data, start=start, room=room, largest=largest, stream_id=number))
    stream.sent(room)


def cut_message(
    prefix: bytes, data: memoryview, *, start: int, room: int, largest: int, stream_id: int
) -> list[bytes | memoryview]:
    """Return the DATA frames that carry *room* bytes of ``prefix + data`` from *start* on, none larger than *largest*.

    They come as buffers to be written one after the other; of *data*, only small pieces are copied.
    """
    buffers: list[bytes | memoryview] = []
    at, end, edge = start, start + room, len(prefix)
    while at < end:
        stop = min(end, at + largest)
        head = data_header(stop - at, stream_id) + prefix[at:stop]
        piece = data[max(0, at - edge) : max(0, stop - edge)]
        if len(piece) <= _SMALL_PIECE:
            buffers.append(head + piece)
        else:
            buffers += (head, piece)
        at = stop
    return buffers


# The books


def book_sent(h2: H2Connection, stream_id: int, size: int) -> None:
    """Do for *size* bytes of plain DATA frames what h2 does when it sends them, but for the bytes.

    Both windows must have room for them. Raises `ProtocolError` (of it `StreamClosedError`) if the stream is over.
    """
    stream = h2.streams.get(stream_id)
    if stream is None:
        raise StreamClosedError(stream_id)
    h2.state_machine.process_input(ConnectionInputs.SEND_DATA)
    stream.state_machine.process_input(StreamInputs.SEND_DATA)
    h2.outbound_flow_control_window -= size
    stream.outbound_flow_control_window -= size


def book_received(h2: H2Connection, stream_id: int, length: int) -> bool:
    """Do for a plain DATA frame what h2 does when it comes, but for its bytes.

    Returns False, with nothing done, if h2 must see the frame: it knows what is wrong with it.
    """
    stream = h2.streams.get(stream_id)
    if stream is None or h2.state_machine.state is not ConnectionState.CLIENT_OPEN:
        return False
    machine = stream.state_machine
    ours, its = h2._inbound_flow_control_window_manager, stream._inbound_window_manager  # noqa: SLF001
    if (
        machine.state not in _RECEIVING
        or not machine.headers_received
        or machine.trailers_received
        or stream._expected_content_length is not None  # noqa: SLF001
        or length > ours.current_window_size
        or length > its.current_window_size
    ):
        return False
    ours.window_consumed(length)
    its.window_consumed(length)
    stream._actual_content_length += length  # noqa: SLF001
    return True
