"""Where the frames of a peer go: the toll gate of the server, and the fast path of the client.

**Server.** Requests are small, floods are not. Frames that cost a peer nothing and us something are charged to its
budget before h2 sees them; empty and unknown frames go no further.

**Client.** Nearly all bytes are DATA of output. A frame that is plain (no flags, not padded, not empty) on a stream
that may receive it is booked as h2 would have done, both windows and the length so far, and its bytes go straight to
the stream's buffer. Every other frame goes to h2 unchanged, and h2 never knows the difference. The connection's window
is given back as bytes arrive, a stream's as they are read: a stream that nobody reads must not starve the others.
"""

from __future__ import annotations

import time
from asyncio import Transport

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.connection import ConnectionState, H2Connection
from h2.events import DataReceived
from h2.stream import StreamState
from hyperframe.frame import WindowUpdateFrame

from gproc.transport.connection import GuardedConnection, ServerConnection
from gproc.transport.events import GuardedEvents
from gproc.transport.frames import Kind, Route
from gproc.transport.protocol import Ended, GuardedProtocol

__all__ = ["ClientProtocol", "TollGate"]

END_STREAM = 0x1
PREFACE_SIZE = 24
_LAST_KNOWN_KIND = max(Kind)
_SMALL = 64
_SMALL_COSTS = 0.1
_RECEIVING = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL})


class TollGate(GuardedProtocol):
    """The server's side: every frame that could be one of a flood is counted."""

    connection: ServerConnection
    is_server = True
    preface = PREFACE_SIZE

    def _route(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        if kind == Kind.DATA:
            return self._route_data(length, flags, stream_id)
        if kind == Kind.GOAWAY:
            return Route.WHOLE
        if kind == Kind.RST_STREAM:
            self._charge_reset(stream_id)
            return Route.PASS
        self._charge(1.0)
        return Route.DROP if kind > _LAST_KNOWN_KIND else Route.PASS

    def _route_data(self, length: int, flags: int, stream_id: int) -> int:
        if flags & END_STREAM and stream_id in self.processor.streams:
            return Route.PASS
        if not length:
            self._charge(1.0)
            return Route.DROP
        if stream_id not in self.processor.streams:
            self._charge(1.0)
        elif length < _SMALL:
            self._charge(_SMALL_COSTS)
        return Route.PASS

    def _charge(self, amount: float) -> None:
        if not self.connection.control.spend(now=time.monotonic(), amount=amount):
            self.connection.abort("too many frames that carry nothing")
            raise Ended

    def _charge_reset(self, stream_id: int) -> None:
        if stream_id <= self.h2.highest_inbound_stream_id and stream_id not in self.processor.streams:
            # Its stream is over: libraries answer what was on its way to a stream that they have reset with one more.
            self._charge(1.0)
        elif not self.connection.resets.spend(now=time.monotonic()):
            self.connection.abort("too many streams were reset")
            raise Ended

    def _peer_leaves(self, last_stream_id: int, code: int) -> None:  # noqa: ARG002 - it speaks of streams of ours
        if code:
            self.processor.close(f"the client went away with error {code}")
            raise Ended

    @staticmethod
    def _cut_off() -> Exception:
        return GRPCError(Status.INVALID_ARGUMENT, "request: ended inside a message")


class ClientConnection(GuardedConnection):
    """A connection that gives its own window back as bytes arrive, and a stream's window as they are read."""

    def arrived(self, size: int) -> None:
        """Give *size* bytes of the connection's window back."""
        increment = self._connection._inbound_flow_control_window_manager.process_bytes(size)  # noqa: SLF001
        if increment:
            frame = WindowUpdateFrame(0)
            frame.window_increment = increment
            self._connection._prepare_for_sending([frame])  # noqa: SLF001

    def ack(self, stream_id: int, size: int) -> None:
        """Give *size* bytes of a stream's window back."""
        stream = self._connection.streams.get(stream_id)
        if size and stream is not None and stream.open:
            self._connection._prepare_for_sending(stream.acknowledge_received_data(size))  # noqa: SLF001
            self.flush()


class ClientEvents(GuardedEvents):
    """The client's processor: DATA that came through h2 is booked like DATA that did not."""

    connection: ClientConnection

    def process_data_received(self, event: DataReceived) -> None:
        """Give the data of a frame to its stream, and the connection's window back."""
        self.connection.arrived(event.flow_controlled_length)
        super().process_data_received(event)


class ClientProtocol(GuardedProtocol):
    """The client's side: DATA goes past h2."""

    connection: ClientConnection

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]
        self._stream_id = 0  # of the DATA frame whose bytes are coming
        self._is_placed = False  # whether they are put where they are to stay

    def _make_connection(self, transport: Transport) -> ClientConnection:
        return ClientConnection(
            self.h2, transport, config=self.config, limits=self.limits, log=self.log, cut_off=self._cut_off
        )

    def _make_processor(self) -> ClientEvents:
        return ClientEvents(self.handler, self.connection)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: into the message that they belong to, if they are data of one."""
        left = self._splitter.data_left
        stream = self.processor.streams.get(self._stream_id) if left else None
        place = stream.buffer.place(left) if stream is not None else None
        self._is_placed = place is not None
        return super().get_buffer(sizehint) if place is None else place

    def buffer_updated(self, nbytes: int) -> None:
        """Take the *nbytes* that were put into the buffer."""
        if not self._is_placed:
            super().buffer_updated(nbytes)
        elif self.hears():
            self._splitter.skip(nbytes)
            stream = self.processor.streams[self._stream_id]
            stream.buffer.placed(nbytes)
            stream.data_received += nbytes
            self.connection.data_received += nbytes

    def _peer_leaves(self, last_stream_id: int, code: int) -> None:
        because = f"error {code}" if code else "it is shutting down"
        self.processor.refuse_after(last_stream_id, f"the server sent the request away: {because}")

    def _route(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        if kind == Kind.DATA:
            if stream_id not in self.processor.streams:
                return self._route_late_data(length, stream_id)
            if flags or not length:
                return Route.PASS
            if not book_data(self.h2, stream_id, length):
                return Route.PASS
            self._stream_id = stream_id
            self.connection.arrived(length)
            return Route.DATA
        if kind == Kind.GOAWAY:
            return Route.WHOLE
        return Route.DROP if kind > _LAST_KNOWN_KIND else Route.PASS

    def _route_late_data(self, length: int, stream_id: int) -> int:
        """Drop what was on its way to a stream that is over; h2 would answer each frame with one more reset."""
        stream, window = self.h2.streams.get(stream_id), self.h2._inbound_flow_control_window_manager  # noqa: SLF001
        is_over = stream_id <= self.h2.highest_outbound_stream_id and (stream is None or stream.closed)
        if not is_over or length > window.current_window_size:
            return Route.PASS
        window.window_consumed(length)
        self.connection.arrived(length)
        return Route.DROP

    def data(self, piece: memoryview) -> None:
        """Give a piece of a frame to its stream, if somebody still wants it."""
        stream = self.processor.streams.get(self._stream_id)
        if stream is not None:
            stream.buffer.add(piece, len(piece))
            stream.data_received += len(piece)
        self.connection.data_received += len(piece)


def book_data(h2: H2Connection, stream_id: int, length: int) -> bool:
    """Do for a plain DATA frame what h2 does, but for its bytes; return False, with nothing done, if h2 must see it."""
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
