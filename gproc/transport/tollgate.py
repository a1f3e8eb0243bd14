"""Where the frames of a client go: the toll gate of the server.

Requests are small, floods are not. Frames that cost a peer nothing and us something are charged to its budget before h2
sees them; empty and unknown frames go no further. All others go to h2: what servers receive knows no fast path.
"""

from __future__ import annotations

import time

from gproc.transport.connection import ServerConnection
from gproc.transport.frames import Kind, Route
from gproc.transport.protocol import Ended, GuardedProtocol

__all__ = ["TollGate"]

_END_STREAM = 0x1
_PREFACE_SIZE = 24
_LAST_KNOWN_KIND = max(Kind)
_SMALL = 64
_SMALL_COSTS = 0.1


class TollGate(GuardedProtocol):
    """The server's side: every frame that could be one of a flood is counted."""

    connection: ServerConnection
    connection_type = ServerConnection
    is_server = True
    preface = _PREFACE_SIZE

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
        if flags & _END_STREAM and stream_id in self.processor.streams:
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
