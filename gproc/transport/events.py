"""What h2's events do to streams; grpclib's own processor, made to survive its peers.

- Events that nobody knows are ignored, as RFC 9113 asks.
- A stream that is reset, by the peer or by its fault, counts in the budget of resets, and a stream whose handler never
  began is released like any other.
- Padding without data is acknowledged at once instead of standing in a queue as an end.
- A connection that was told to go closes after its last stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from grpclib.protocol import AbstractHandler, EventsProcessor, Stream
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    WindowUpdated,
)

from gproc.transport.connection import GuardedConnection
from gproc.transport.streams import ConnectionLost, GuardedStream

__all__ = ["GuardedEvents"]


class GuardedEvents(EventsProcessor):
    """The processor of one connection."""

    connection: GuardedConnection
    streams: dict[int, GuardedStream]  # type: ignore[assignment]  # our connection makes no others

    def __init__(self, handler: AbstractHandler, connection: GuardedConnection) -> None:
        super().__init__(handler, connection)
        self.was_used = False

    def process(self, event: Event) -> None:
        """Do what *event* asks for; ignore what is not known."""
        processors = getattr(self, "processors", {})  # gone once the connection is closed
        processor = processors.get(event.__class__)
        if processor is not None:
            processor(event)

    def register(self, stream: Stream) -> Callable[[], None]:
        """Take up *stream*; return what releases it, once. Raises `ConnectionLost` if there is no connection left."""
        if self.connection.is_lost or self.connection.is_closing():
            raise ConnectionLost("the connection is closed", self.connection.lost_by, is_unprocessed=True)
        release_stream = super().register(stream)
        self.was_used = True
        self.connection.idle_since = None

        def release() -> None:
            release_stream()
            if not self.streams:
                self._became_idle()

        return release

    def _became_idle(self) -> None:
        self.connection.idle_since = time.monotonic()
        if self.connection.is_leaving and not self.connection.is_closing():
            self.connection.close()

    def process_request_received(self, event: RequestReceived) -> None:
        """Begin a request."""
        if not self.connection.is_closing():
            super().process_request_received(event)

    def process_data_received(self, event: DataReceived) -> None:
        """Give the data of a frame to its stream."""
        if event.data or event.stream_id not in self.streams:
            super().process_data_received(event)
        else:
            self.connection.ack(event.stream_id, event.flow_controlled_length)

    def process_window_updated(self, event: WindowUpdated) -> None:
        """Wake those who wait for room; if it is the whole connection's, who has waited longest may take it all."""
        if event.stream_id:
            super().process_window_updated(event)
            return
        for stream in sorted(self.streams.values(), key=lambda stream: stream.waiting_since or 0.0):
            stream.window_updated.set()

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        """Wake those who wait for room, or to open a stream: the peer may allow more of both."""
        super().process_remote_settings_changed(event)
        self.connection.stream_close_waiter.set()

    def process_stream_reset(self, event: StreamReset) -> None:
        """End a stream, and count it if it was our peer's fault without being its wish."""
        super().process_stream_reset(event)
        if not event.remote_reset and not self.connection.resets.spend(now=time.monotonic()):
            self.connection.abort("too many streams had to be reset")

    def process_ping_ack_received(self, event: PingAckReceived) -> None:
        """The peer is there; any byte from it says so, hence nothing is left to do."""

    def refuse_after(self, last_stream_id: int, reason: str) -> None:
        """End our own streams that the peer will not process any more."""
        for number, stream in list(self.streams.items()):
            if number > last_stream_id:
                stream.end_with(ConnectionLost(reason, is_unprocessed=True))
