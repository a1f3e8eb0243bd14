"""One HTTP/2 stream: when messages may leave it, and what ends it. The fast path sends through it, and so does grpclib.

**Room.** Before anything is sent, a sender waits for room: the transport takes more (`write_ready`), and both outbound
windows, the stream's and the connection's, allow a piece that is worth a frame. A peer that opens its window by one
byte at a time is not answered with frames of one byte. While a sender waits, `waiting_since` says since when; the pulse
of the connection cuts streams that wait too long. Nothing is queued: as long as there is no room, the message stays
with its sender.

**Turns.** The peer of a stream may read as quickly as we send; after a while, others have their turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import EventsProcessor, Stream
from h2.exceptions import ProtocolError, StreamClosedError

from gproc.transport.buffers import MessageBuffer
from gproc.transport.limits import BURST

if TYPE_CHECKING:
    from grpclib.protocol import Connection

    from gproc.transport.connection import GuardedConnection

__all__ = ["ConnectionLost", "GuardedStream"]

_MESSAGE_COSTS = 4 * 1024  # a small message takes as long as a few KiB of a large one


class ConnectionLost(StreamTerminatedError):
    """The connection is gone, or going.

    `cause` is what the system or TLS said, None if the peer just left. `is_unprocessed` is true if the request was
    certainly not taken by the server; it may be sent again, whatever it is.
    """

    def __init__(self, reason: str, cause: BaseException | None = None, *, is_unprocessed: bool = False) -> None:
        super().__init__(reason)
        self.cause = cause
        self.is_unprocessed = is_unprocessed


class GuardedStream(Stream):
    """A stream that waits for room, says since when it waits, and reads through a `MessageBuffer`."""

    connection: GuardedConnection
    buffer: MessageBuffer
    waiting_since: float | None = None
    """When the sender that is waiting now began to wait; None if none is."""
    _awaits_window = False
    _unyielded = 0

    @property
    def stalled_since(self) -> float | None:
        """Since when nothing has moved that the sender waits for; None if none waits."""
        if self.waiting_since is None or self._awaits_window:
            return self.waiting_since
        return max(self.waiting_since, self.connection.moved_at)

    def init_stream(self, stream_id: int, connection: Connection) -> None:
        """Give the stream its number, and its buffer."""
        super().init_stream(stream_id, connection)
        guarded = self.connection
        self.buffer = MessageBuffer(
            partial(guarded.ack, stream_id),
            window=guarded.limits.stream_window,
            largest=guarded.limits.message_size,
            cut_off=guarded.cut_off,
        )

    async def send_request(
        self, headers: list[tuple[str, str]], end_stream: bool = False, *, _processor: EventsProcessor
    ) -> Callable[[], None]:
        """Open the stream, once there may be one more; raises `ConnectionLost` when the connection is gone by then."""
        await self._may_open()
        try:
            return await super().send_request(headers, end_stream, _processor=_processor)
        except ProtocolError as error:
            raise ConnectionLost("the connection is closed", error, is_unprocessed=True) from error

    async def _may_open(self) -> None:
        # grpclib waits, too, but for ever if the connection is lost meanwhile: the streams that were open still count.
        connection, h2 = self.connection, self._h2_connection
        while not connection.is_closing():
            if not connection.write_ready.is_set():
                await connection.write_ready.wait()
            elif h2.open_outbound_streams < h2.remote_settings.max_concurrent_streams:
                return
            else:
                connection.stream_close_waiter.clear()
                await connection.stream_close_waiter.wait()
        raise ConnectionLost("the connection is closed", connection.lost_by, is_unprocessed=True)

    async def send_headers(self, headers: list[tuple[str, str]], end_stream: bool = False) -> None:
        """Send headers or trailers as soon as the transport takes them."""
        await self.room(0)
        await super().send_headers(headers, end_stream)

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        """Send *data* through h2, in as many frames as it takes."""
        at, size = 0, len(data)
        while True:
            room = await self.room(size - at)
            piece = data[at : at + min(room, self._h2_connection.max_outbound_frame_size)]
            at += len(piece)
            self._h2_connection.send_data(self.number, piece, end_stream=end_stream and at == size)
            self.connection.earn(len(piece))
            self.connection.flush()
            if at == size:
                return

    async def give_way(self) -> None:
        """Let others have their turn, if this stream has sent enough since it last did."""
        # A reader that keeps up never makes us wait, and all others would. Before a message is made, not after it was
        # sent: a thousand senders who wait for their turn would hold a thousand messages.
        if self._unyielded >= BURST:
            self._unyielded = 0
            await asyncio.sleep(0)

    async def room(self, wanted: int) -> int:
        """Wait until a piece of a message of *wanted* bytes may be sent; return how much may be."""
        least = min(wanted, self.connection.limits.smallest_send)
        try:
            while True:
                window = self._h2_connection.local_flow_control_window(self.number) if least else 0
                self._awaits_window = window < least
                if self._awaits_window:
                    self.window_updated.clear()
                    await self._wait(self.window_updated)
                elif self.connection.write_ready.is_set():
                    return window
                else:
                    await self._wait(self.connection.write_ready)
                    self.waiting_since = None  # the peer reads; it may be another's turn now
        finally:
            self.waiting_since = None

    async def _wait(self, event: asyncio.Event) -> None:
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()
        await event.wait()

    def sent(self, size: int) -> None:
        """Take note that *size* bytes left past h2."""
        self._unyielded += max(size, _MESSAGE_COSTS)
        self.connection.earn(size)

    @property
    def number(self) -> int:
        """The number of the stream; raises `StreamClosedError` if it was never opened."""
        if self.id is None:
            raise StreamClosedError(0)
        return self.id

    def __terminated__(self, reason: str) -> None:
        """End whoever works on this stream; he gets `StreamTerminatedError`, or `ConnectionLost`."""
        self.end_with(
            ConnectionLost(reason, self.connection.lost_by)
            if self.connection.is_lost
            else StreamTerminatedError(reason)
        )

    def end_with(self, error: Exception) -> None:
        """Raise *error* in whoever works on this stream."""
        if self.wrapper is not None and not self.wrapper.cancelled:
            self.wrapper.cancel(error)
