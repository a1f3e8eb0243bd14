"""The bytes of one connection, on both sides: asyncio below, h2 and grpclib above.

Bytes come into a buffer of our own (TLS decrypts into it), go through a `FrameSplitter`, and on to h2 or, on the
client, past it: `tollgate` and `inbound` say where each frame goes. Everything that can go wrong with what a peer sends
ends in `_fail`: one line in the log, a GOAWAY where there is one, and the connection closed; never a traceback.

This is an `asyncio.BufferedProtocol` that looks like grpclib's ``H2Protocol`` instead of inheriting from it: that is an
`asyncio.Protocol`, and uvloop gives no buffer to those.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import BaseTransport, Transport
from collections.abc import Callable
from struct import Struct
from typing import cast

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Encoder

from gproc.transport.connection import GuardedConnection
from gproc.transport.events import GuardedEvents
from gproc.transport.frames import FrameSplitter, Kind, Route
from gproc.transport.limits import TransportLimits
from gproc.transport.log import EventLog
from gproc.transport.pulse import Facts, Step, next_step, pulse_interval

__all__ = ["GuardedProtocol"]

END_HEADERS = 0x4
_MOST_REMEMBERED = 4096  # what every peer allows from the first
_STREAMS_AT_FIRST = 100
"""What a peer may be asked at a time until it says how much: no less than that is recommended (RFC 9113, 6.5.2)."""
_GOAWAY = Struct(">LL")


class Ended(Exception):
    """The connection is over; what follows in the bytes at hand is of no interest."""


class _H2(H2Connection):
    """h2 remembers how each of the last 65,536 streams ended: up to 12 MiB a connection, for frames that come late."""

    MAX_CLOSED_STREAMS = 1024


class _Encoder(Encoder):
    """hpack looks for a header among all that it remembers, one by one; a peer may have it remember 4 GiB of them."""

    @property
    def header_table_size(self) -> int:
        """How many bytes of headers it remembers: what the peer allows, as far as that does us good."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        Encoder.header_table_size.fset(self, min(size, _MOST_REMEMBERED))  # type: ignore[attr-defined]


class GuardedProtocol(asyncio.BufferedProtocol):
    """One connection; subclasses say what it is made of and where frames go."""

    connection: GuardedConnection
    processor: GuardedEvents
    connection_type: type[GuardedConnection]
    processor_type: type[GuardedEvents] = GuardedEvents
    is_server = False
    preface = 0

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        *,
        limits: TransportLimits,
        log: EventLog,
    ) -> None:
        self.handler = handler
        self.config = config
        self.h2_config = h2_config
        self.limits = limits
        self.log = log
        self._buffer = memoryview(bytearray(limits.read_size))
        self._splitter = FrameSplitter(self, preface=self.preface)
        self._header_block: int | None = None  # bytes of the block of headers that is coming
        self._pulse: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin HTTP/2: announce our settings and windows."""
        pipe = cast("Transport", transport)
        pipe.set_write_buffer_limits(high=self.limits.write_buffer)
        self.h2 = self._begin_h2()
        self.connection = self.connection_type(self.h2, pipe, config=self.config, limits=self.limits, log=self.log)
        self.processor = self.processor_type(self.handler, self.connection)
        self.connection.flush()
        self._beat()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as much as it likes, as much as we allow
        """Return where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the *nbytes* that were put into the buffer."""
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the connection."""
        if not self.hears():
            return
        try:
            self._splitter.feed(memoryview(data))
        except Ended:
            pass
        except ProtocolError as error:
            self._fail(f"protocol error: {error}", ErrorCodes.PROTOCOL_ERROR)
        except Exception as error:  # noqa: BLE001 - whatever a peer can provoke must not become a traceback
            self._fail(f"{type(error).__name__}: {error}", ErrorCodes.INTERNAL_ERROR)
        else:
            self.connection.flush()

    def hears(self) -> bool:
        """Return whether bytes that come now are still of interest; if so, the peer is there."""
        if self.connection.is_lost or self.connection.is_closing():
            return False
        self.connection.heard_at = time.monotonic()
        self.connection.asked_at = None
        return True

    def pause_writing(self) -> None:
        """Make senders wait."""
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        """Let senders go on."""
        self.connection.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End everything that depends on the connection."""
        if self._pulse is not None:
            self._pulse.cancel()
        self.connection.is_lost = True
        self.connection.lost_by = exc
        self.processor.close(f"connection lost: {exc}" if exc else "connection lost")
        del self._splitter  # it points back here, and nothing is fed to it any more

    # What the splitter calls

    def passed(self, run: memoryview) -> None:
        """Give bytes to h2, and do what it makes of them."""
        events = self.h2.receive_data(run)
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        self.connection.flush()
        if self.connection.is_lost or self.connection.is_closing():
            raise Ended

    def begin(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        """Return the route of a frame; raise `ProtocolError` for one that is too large."""
        if length > self.limits.frame_size:
            self.h2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            raise ProtocolError(f"a frame of {length} bytes is larger than {self.limits.frame_size}")
        if self._header_block is not None or kind in {Kind.HEADERS, Kind.CONTINUATION, Kind.PUSH_PROMISE}:
            self._begin_headers(length, flags)
            return Route.PASS
        return self._route(length, kind, flags, stream_id)

    def _begin_headers(self, length: int, flags: int) -> None:
        """Look at nothing but the size of a block of headers: whatever else is wrong in it, h2 knows it and says so."""
        size, most = (self._header_block or 0) + length, self.h2.DEFAULT_MAX_HEADER_LIST_SIZE
        if size > most:
            # h2 takes a megabyte, and a third of a second to read it, before it finds that headers are too many.
            raise ProtocolError(f"a block of headers is larger than {most} bytes")
        self._header_block = None if flags & END_HEADERS else size

    def _route(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        raise NotImplementedError

    def data(self, piece: memoryview) -> None:
        """Take a piece of a DATA frame that does not go through h2."""
        raise NotImplementedError

    def whole(self, kind: int, body: bytes) -> None:
        """Take a GOAWAY; the only frame that is routed here.

        It does not go to h2, which would take it for the end of everything: requests in progress may finish.
        """
        if kind != Kind.GOAWAY or len(body) < _GOAWAY.size:
            raise ProtocolError("a GOAWAY frame is too short")
        last_stream_id, code = _GOAWAY.unpack_from(body)
        self.connection.is_leaving = True
        self._peer_leaves(last_stream_id & 0x7FFF_FFFF, code)
        if not self.processor.streams:
            self.processor.close("the peer is going away")
            raise Ended

    def _peer_leaves(self, last_stream_id: int, code: int) -> None:
        """Do what this side has to do when its peer goes away."""

    # The acting edge of the pulse

    def _beat(self) -> None:
        self._pulse = asyncio.get_running_loop().call_later(pulse_interval(self.limits), self._beat)
        connection, now = self.connection, time.monotonic()
        connection.look()
        if connection.is_leaving and not self.processor.streams:
            # It was told a pulse ago, or more: whatever was on its way has come.
            self.processor.close("the connection was told to go")
            return
        match next_step(self._facts(now), self.limits):
            case Step.ASK:
                connection.ask()
            case (Step.LEAVE_IDLE | Step.LEAVE_OLD) as step:
                self.log.write("connection closed", step.value, peer=connection.peer_name, level=logging.INFO)
                connection.leave()
            case (Step.ABORT_SILENT | Step.ABORT_UNUSED) as step:
                connection.abort(step.value)
        self._cut_stalled(now)

    def _facts(self, now: float) -> Facts:
        connection = self.connection
        return Facts(
            now=now,
            opened_at=connection.opened_at,
            heard_at=connection.heard_at,
            asked_at=connection.asked_at,
            idle_since=connection.idle_since,
            was_used=self.processor.was_used,
            is_server=self.is_server,
            is_leaving=connection.is_leaving,
        )

    def _cut_stalled(self, now: float) -> None:
        for stream in list(self.processor.streams.values()):
            since = stream.stalled_since
            if since is not None and now - since >= self.limits.stall_timeout:
                stream.waiting_since = None
                self._cut(f"nothing was read for {self.limits.stall_timeout:g} s", stream.end_with)

    def _cut(self, reason: str, end_with: Callable[[Exception], None]) -> None:
        connection = self.connection
        if not connection.write_ready.is_set():
            # Not even the reason would get through.
            connection.abort(reason)
            return
        self.log.write("stream cut", reason, peer=connection.peer_name, owner=connection.owner)
        end_with(GRPCError(Status.UNAVAILABLE, f"{reason}; ask again from where you are"))

    # Beginning and ending

    def _begin_h2(self) -> H2Connection:
        limits = self.limits
        h2 = _H2(config=self.h2_config)
        h2.encoder = _Encoder()
        # All settings in the first frame; what is larger than the default may be used by the peer as it learns of it.
        h2.local_settings = Settings(
            client=not self.is_server,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_FRAME_SIZE: limits.frame_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: h2.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        h2.remote_settings = Settings(
            client=self.is_server, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS_AT_FIRST}
        )
        h2.max_inbound_frame_size = limits.frame_size
        h2.initiate_connection()
        more = limits.connection_window - h2.inbound_flow_control_window
        if more:
            h2.increment_flow_control_window(more)
        return h2

    def _fail(self, reason: str, code: ErrorCodes) -> None:
        self.log.write("connection failed", reason, peer=self.connection.peer_name, owner=self.connection.owner)
        if self.h2.state_machine.state is not ConnectionState.CLOSED:
            self.h2.close_connection(code)
        self.processor.close(reason)
