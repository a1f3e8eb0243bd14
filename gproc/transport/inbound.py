"""Where the frames of a server go: the fast path on the client's side, up to the buffers of streams; see `fastpath`.

Of the DATA frames, those that are plain go past h2, and all others through it. What was on its way to a stream that is
over goes nowhere, but is given back to the window. Of other frames, only GOAWAY and unknown kinds are kept from h2.
"""

from __future__ import annotations

from h2.events import DataReceived
from hyperframe.frame import WindowUpdateFrame

from gproc.transport.connection import GuardedConnection
from gproc.transport.events import GuardedEvents
from gproc.transport.fastpath import book_received
from gproc.transport.frames import Kind, Route
from gproc.transport.protocol import GuardedProtocol

__all__ = ["ClientProtocol"]

_LAST_KNOWN_KIND = max(Kind)


class ClientConnection(GuardedConnection):
    """A connection that gives its own window back as bytes arrive, and a stream's window as they are read."""

    def arrived(self, size: int) -> None:
        """Give *size* bytes of the connection's window back."""
        increment = self.h2._inbound_flow_control_window_manager.process_bytes(size)  # noqa: SLF001
        if increment:
            frame = WindowUpdateFrame(0)
            frame.window_increment = increment
            self.h2._prepare_for_sending([frame])  # noqa: SLF001

    def ack(self, stream_id: int, size: int) -> None:
        """Give *size* bytes of a stream's window back."""
        stream = self.h2.streams.get(stream_id)
        if size and stream is not None and stream.open:
            self.h2._prepare_for_sending(stream.acknowledge_received_data(size))  # noqa: SLF001
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
    connection_type = ClientConnection
    processor_type = ClientEvents
    _stream_id = 0  # of the DATA frame whose bytes are coming
    _is_placed = False  # whether they are put where they are to stay

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
            self.processor.streams[self._stream_id].buffer.placed(nbytes)

    def _peer_leaves(self, last_stream_id: int, code: int) -> None:
        because = f"error {code}" if code else "it is shutting down"
        self.processor.refuse_after(last_stream_id, f"the server sent the request away: {because}")

    def _route(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        if kind == Kind.DATA:
            if stream_id not in self.processor.streams:
                return self._route_late_data(length, stream_id)
            if flags or not length or not book_received(self.h2, stream_id, length):
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
