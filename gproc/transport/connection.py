"""One connection: how bytes leave it, what its peer may cost, and how it ends.

It ends in one of three ways. `leave` tells the peer to go elsewhere and lets requests in progress finish. `close` sends
what is waiting, a GOAWAY, and the end of TLS. `abort` drops everything at once, with one line in the log:
it is for peers that cost too much.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from asyncio import Transport
from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING, Any

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import Connection
from grpclib.utils import Wrapper
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from gproc.transport.budget import Budget
from gproc.transport.limits import TransportLimits
from gproc.transport.log import EventLog
from gproc.transport.streams import GuardedStream

if TYPE_CHECKING:
    from grpclib import server

__all__ = ["GuardedConnection", "ServerConnection", "connection_of"]

_PING = Struct(">Q")
_ALL_STREAMS = 2**31 - 1


class GuardedConnection(Connection):
    """A connection that knows its limits; common to both sides."""

    is_lost = False
    """Whether it is gone: nothing can be sent or received."""
    lost_by: BaseException | None = None
    """What the system or TLS said when it was lost."""
    is_leaving = False
    """Whether it takes no new requests and closes after the last one."""
    owner = ""
    """Whose connection it is: on a server, what the hook made of the certificate."""

    def __init__(
        self,
        connection: H2Connection,
        transport: Transport,
        *,
        config: Configuration,
        limits: TransportLimits,
        log: EventLog,
    ) -> None:
        super().__init__(connection, transport, config=config)
        now = time.monotonic()
        self.h2 = connection
        self.limits = limits
        self.log = log
        self.peer_name = _peer_name(transport)
        self.opened_at = self.heard_at = now
        self.asked_at: float | None = None
        self.moved_at = now  # when the peer last read something that it was kept waiting for
        self.idle_since: float | None = now
        self.control = Budget(limits.control_frames, limits.budget_period, now=now)
        self.resets = Budget(limits.resets, limits.budget_period, now=now)
        self._backlog = 0  # bytes of h2's answers written while the peer did not read
        self._unsent = 0  # what waited for the peer when we last looked
        self._pipe = transport  # the base class forgets its own reference when it closes

    def cut_off(self) -> Exception:
        """Return the error for a stream that ends inside a message."""
        return StreamTerminatedError("the stream ended inside a message")

    def create_stream(self, *, stream_id: int | None = None, wrapper: Wrapper | None = None) -> GuardedStream:
        """Return a new stream; *stream_id* if the peer opened it."""
        return GuardedStream(self, self.h2, self._pipe, stream_id=stream_id, wrapper=wrapper)

    def flush(self) -> None:
        """Write what h2 wants to send; abort if it is answers to a peer that asks much and reads nothing."""
        data = self.h2.data_to_send()
        if not data or self._pipe.is_closing():
            return
        self._pipe.write(data)
        if not self.write_ready.is_set():
            self._backlog += len(data)
            if self._backlog > self.limits.control_backlog:
                self.abort(f"{self._backlog} bytes of answers are waiting, and the peer does not read")

    def write(self, frames: Iterable[bytes | memoryview]) -> None:
        """Write *frames* that went past h2 after all that h2 wants to send."""
        self.flush()
        self._pipe.writelines(frames)

    def resume_writing(self) -> None:
        """Let senders go on: the peer reads again."""
        self._backlog = 0
        self._moved()
        super().resume_writing()

    def look(self) -> None:
        """See whether the peer reads: on a slow line, one burst takes longer than a peer may stall."""
        before, self._unsent = self._unsent, self._pipe.get_write_buffer_size()
        if 0 < self._unsent < before:
            self._moved()

    def _moved(self) -> None:
        # It is there, and what we asked may still stand behind what it has to read.
        self.moved_at = time.monotonic()
        if self.asked_at is not None:
            self.asked_at = self.moved_at

    def earn(self, size: int) -> None:
        """We sent *size* bytes of data: an honest peer answers with window updates, and may ask how far away we are."""
        self.control.earn(2 + size / 1024)

    def ask(self) -> None:
        """Ask whether the peer is there."""
        self.asked_at = time.monotonic()
        self.h2.ping(_PING.pack(int(self.asked_at * 1e6)))
        self.flush()

    def refuse(self, stream_id: int, headers: list[tuple[str, str]]) -> None:
        """Answer a request at once, and take no more of it; refusals are counted like resets."""
        self.h2.send_headers(stream_id, headers, end_stream=True)
        if not self.h2.streams[stream_id].closed:
            self.h2.reset_stream(stream_id)
        self.flush()
        if not self.resets.spend(now=time.monotonic()):
            self.abort("too many requests had to be refused")

    def leave(self) -> None:
        """Tell the peer to go elsewhere with new requests; close after the last one in progress."""
        if self.is_leaving or self._pipe.is_closing():
            return
        self.is_leaving = True
        # Not through h2: it takes a GOAWAY for the end, and would refuse to send the rest of what is in progress.
        self.flush()
        # All requests that are under way are still answered; which came too late is told when the connection closes.
        frame = GoAwayFrame(0, last_stream_id=_ALL_STREAMS, error_code=ErrorCodes.NO_ERROR)
        self._pipe.write(frame.serialize())

    def close(self) -> None:
        """Send what is waiting and a GOAWAY that says which requests were taken, then close."""
        if not self.is_lost:
            self.is_lost = True
            if self.h2.state_machine.state is not ConnectionState.CLOSED:
                self.h2.close_connection()
            self.flush()
        super().close()
        self._wake_all()

    def abort(self, reason: str) -> None:
        """Drop the connection at once, and log why."""
        if not self._pipe.is_closing():
            self.log.write("connection aborted", reason, peer=self.peer_name, owner=self.owner)
        self.drop()

    def drop(self) -> None:
        """Drop the connection at once, without a word; asyncio calls `connection_lost` soon, which ends the streams."""
        self._pipe.abort()

    def is_closing(self) -> bool:
        """Whether it was closed or aborted."""
        return self._pipe.is_closing()

    def _wake_all(self) -> None:
        # Whoever waits for room must find out that there will be none.
        self.write_ready.set()
        self.stream_close_waiter.set()


class ServerConnection(GuardedConnection):
    """A client's connection, as the hook of a server sees it."""

    certificate: bytes | None = None
    """The client's certificate as DER, read once when the connection was made; None without TLS."""
    alpn: str | None = None
    """What TLS agreed to speak; None without TLS, or if nothing was agreed."""
    context: ssl.SSLContext | None = None
    """What TLS was told when its handshake began; the server may have taken another since. None without TLS."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.turn = asyncio.Lock()
        """For handlers of large answers: who holds it while he answers leaves others on this connection to wait."""
        tls = self._pipe.get_extra_info("ssl_object")
        if tls is not None:
            self.context = tls.context
            self.certificate = tls.getpeercert(binary_form=True)
            self.alpn = tls.selected_alpn_protocol()

    def cut_off(self) -> Exception:
        """Return the error for a request that ends inside a message."""
        return GRPCError(Status.INVALID_ARGUMENT, "request: ended inside a message")


def connection_of(stream: server.Stream[Any, Any]) -> ServerConnection:
    """Return the connection that a request came on; its ``owner`` is what the hook set."""
    connection = stream._stream.connection  # noqa: SLF001
    if not isinstance(connection, ServerConnection):
        raise TypeError("the request did not come through a HardenedServer")
    return connection


def _peer_name(transport: Transport) -> str:
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return str(name or "")
