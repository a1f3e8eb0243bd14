"""HTTP/2 for each connection that the listener accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from grpclib.config import Configuration
from grpclib.events import RecvRequest, listen
from grpclib.protocol import H2Protocol
from grpclib.server import Server

from gproc.errors import GprocError
from gproc.server.connections import Connections
from gproc.wire import RequestCodec, StatusDetailsCodec, to_grpc_error

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["Protocols"]

_CONFIGURATION = Configuration(
    _keepalive_time=60,
    _keepalive_timeout=20,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=30,
    http2_connection_window_size=1024 * 1024,
    http2_stream_window_size=65_535,
)


class Protocols:
    """Makes the protocol of every connection, and tells *connections* of them."""

    def __init__(self, handlers: Collection[IServable], connections: Connections) -> None:
        self._connections = connections
        self._server = _Server(handlers, connections)
        listen(self._server, RecvRequest, self._admit)

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of one more connection."""
        return self._server.make_protocol()

    async def _admit(self, event: RecvRequest) -> None:
        """Answer every rpc, health checks included, of a refused connection with the reason."""
        try:
            self._connections.owner_of(event.peer._transport)  # noqa: SLF001 - grpclib has no public name for it
        except GprocError as error:
            raise to_grpc_error(error) from None


class _Server(Server):
    def __init__(self, handlers: Collection[IServable], connections: Connections) -> None:
        super().__init__(
            handlers, codec=RequestCodec(), status_details_codec=StatusDetailsCodec(), config=_CONFIGURATION
        )
        self._connections = connections

    def make_protocol(self) -> H2Protocol:
        made = self._protocol_factory()
        return _NotedProtocol(made.handler, made.config, made.h2_config, self._connections)


class _NotedProtocol(H2Protocol):
    def __init__(self, handler: object, config: object, h2_config: object, connections: Connections) -> None:
        super().__init__(handler, config, h2_config)  # type: ignore[arg-type]  # handed on as they came
        self._connections = connections
        self._noted: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._noted = cast(asyncio.Transport, transport)
        self._connections.opened(self._noted)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._noted is not None:
            self._connections.closed(self._noted)
            self._noted = None
