"""grpclib's server for a network that cannot be trusted.

It takes the same handlers, and differs in what it does with peers: see `TransportLimits` for every bound, `acceptor`
for how connections come in, `tollgate` for what is counted, `requests` for how each request gets an answer.

**The hook.** *on_connection* is called once for each connection, after its TLS handshake and before any request is
read, with a `ServerConnection`. It reads the certificate, sets ``connection.owner`` and returns None; or it returns a
`Refusal`, which every request on the connection is answered; or it raises, and the connection is dropped.

**The end.** `drain` lets requests in progress finish up to a grace; `close` and `wait_closed` do the same without
grace. All of them return in bounded time, whatever the peers do.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from asyncio import BaseTransport
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Self, cast

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server
from h2.config import H2Configuration

from gproc.transport.acceptor import Acceptor, listen
from gproc.transport.connection import ServerConnection
from gproc.transport.limits import TransportLimits
from gproc.transport.log import EventLog
from gproc.transport.requests import Refusal, RequestHandler
from gproc.transport.tollgate import TollGate

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["HardenedServer", "OnConnection"]

OnConnection = Callable[[ServerConnection], "Refusal | None"]

DRAINING = Refusal(Status.UNAVAILABLE, "the server is shutting down; try again")
_LAST_WORDS = 0.5
_TOLD_SO = 16
"""Connections that an owner may have beyond his cap, to be told so: they stay, and must not fill the place of all."""


def _accept_all(connection: ServerConnection) -> Refusal | None:  # noqa: ARG001 - the shape of a hook
    return None


class ServerProtocol(TollGate):
    """A connection that its server knows about."""

    handler: RequestHandler

    def __init__(self, server: HardenedServer, handler: RequestHandler, **named: Any) -> None:
        super().__init__(handler, **named)
        self._server = server

    def connection_made(self, transport: BaseTransport) -> None:
        """Ask the hook, and begin."""
        super().connection_made(transport)
        self._server.adopt(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End everything that depends on the connection."""
        super().connection_lost(exc)
        self._server.forget(self)


class HardenedServer(Server):
    """Serves *handlers* within *limits*; one start, one end."""

    def __init__(
        self,
        handlers: Collection[IServable],
        *,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        limits: TransportLimits | None = None,
        on_connection: OnConnection = _accept_all,
    ) -> None:
        # grpclib's own keepalive closes in peace, which a dead peer never ends; the pulse aborts.
        config = Configuration(_keepalive_time=None)
        super().__init__(handlers, codec=codec, status_details_codec=status_details_codec, config=config)
        self.limits = limits or TransportLimits()
        self._h2_config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",  # never fails; `read_request` refuses what is not ASCII
            validate_inbound_headers=True,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._on_connection = on_connection
        self._log = EventLog()
        self._protocols: set[ServerProtocol] = set()
        self._ending: set[asyncio.Task[None]] = set()  # requests whose connection is lost
        self._acceptor: Acceptor | None = None
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._is_closing = False

    # Beginning

    async def start(  # type: ignore[override]  # Unix sockets and address flags have no use here
        self,
        host: str | None,
        port: int,
        *,
        ssl: tls.SSLContext,
    ) -> None:
        """Listen on all addresses of *host* at *port* (0: a free one, see `port`).

        Raises `OSError` if an address cannot be had.
        """
        if self._acceptor is not None or self._is_closing:
            raise RuntimeError("a server starts once")
        self._acceptor = Acceptor(
            await listen(host, port),
            make_protocol=self._protocol_factory,
            count_open=lambda: len(self._protocols),
            ssl=ssl,
            limits=self.limits,
            log=self._log,
        )
        self._acceptor.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return cast("int", self.addresses[0][1])

    @property
    def addresses(self) -> list[tuple[Any, ...]]:
        """The addresses that it listens on."""
        return [] if self._acceptor is None else [listener.getsockname() for listener in self._acceptor.sockets]

    def replace_ssl(self, context: tls.SSLContext) -> None:
        """Use *context* for connections that come from now on."""
        if self._acceptor is None:
            raise RuntimeError("the server was not started")
        self._acceptor.ssl = context

    @property
    def connections(self) -> frozenset[ServerConnection]:
        """The connections that are open now; `abort` one to cut it, `leave` to let it finish."""
        return frozenset(protocol.connection for protocol in self._protocols)

    def _protocol_factory(self) -> ServerProtocol:  # type: ignore[override]  # looks like H2Protocol, is not one
        handler = RequestHandler(self._mapping, self._codec, self._status_details_codec, self.__dispatch__, self._log)
        return ServerProtocol(
            self, handler, config=self._config, h2_config=self._h2_config, limits=self.limits, log=self._log
        )

    # What connections call

    def adopt(self, protocol: ServerProtocol) -> None:
        """Take up a connection that was just made, unless it is one too many or the hook does not like it."""
        self._protocols.add(protocol)
        self._all_gone.clear()
        connection = protocol.connection
        if self._is_closing or len(self._protocols) > self.limits.connections:
            connection.abort("the server is closing" if self._is_closing else "too many connections")
        elif connection.alpn != "h2":
            connection.abort("the client does not offer h2 in its TLS handshake (ALPN)")
        else:
            self._ask_hook(protocol, connection)

    def _ask_hook(self, protocol: ServerProtocol, connection: ServerConnection) -> None:
        try:
            protocol.handler.refusal = self._on_connection(connection) or self._refuse_owner(connection)
        except Exception as error:  # noqa: BLE001 - a hook that fails must not let anybody in
            connection.abort(f"{type(error).__name__}: {error}")
            return
        if protocol.handler.refusal is not None:
            reason = protocol.handler.refusal.message
            self._log.write("connection refused", reason, peer=connection.peer_name, owner=connection.owner)

    def _refuse_owner(self, connection: ServerConnection) -> Refusal | None:
        most = self.limits.connections_per_owner
        count = sum(other.owner == connection.owner for other in self.connections)
        if not connection.owner or count <= most:
            return None
        if count > most + _TOLD_SO:
            connection.abort(f"{connection.owner} has {count - 1} connections already")
        return Refusal(Status.RESOURCE_EXHAUSTED, f"{connection.owner} has {most} connections already; close one")

    def forget(self, protocol: ServerProtocol) -> None:
        """Let go of a connection that is lost."""
        self._protocols.discard(protocol)
        for task in protocol.handler.tasks:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        if not self._protocols:
            self._all_gone.set()

    # Ending

    async def drain(self, grace: float) -> None:
        """Let requests in progress finish for up to *grace* seconds, then end them, and close all connections.

        New requests are answered UNAVAILABLE from the first moment; when the grace is over, so are those in progress.
        Returns within *grace* and a few seconds. Cancelled, it leaves the server draining; call `close` then.
        """
        self._stop_accepting()
        for protocol in list(self._protocols):
            protocol.handler.refusal = DRAINING
            protocol.connection.leave()
        await self._wait_for_requests(grace)
        self.close()
        await self.wait_closed()

    def close(self) -> None:
        """Stop accepting, and tell all requests in progress that the server is going; `wait_closed` does the rest."""
        self._stop_accepting()
        for protocol in self._protocols:
            protocol.handler.refusal = DRAINING
            protocol.handler.end_all(GRPCError(DRAINING.status, DRAINING.message))

    async def wait_closed(self) -> None:
        """Wait until all requests were answered and all connections closed; what takes too long is aborted."""
        if not self._is_closing:
            raise RuntimeError("the server was not closed")
        await self._wait_for_requests(_LAST_WORDS)
        for protocol in list(self._protocols):
            protocol.processor.close("the server is closing")
        await self._wait_until_gone(self.limits.close_timeout)
        for protocol in list(self._protocols):
            protocol.connection.drop()
        await self._wait_until_gone(self.limits.close_timeout)
        await self._wait_for_requests(self.limits.close_timeout)
        if self._acceptor is not None:
            await self._acceptor.wait_closed()

    def _stop_accepting(self) -> None:
        self._is_closing = True
        if self._acceptor is not None:
            self._acceptor.close()

    async def _wait_for_requests(self, limit: float) -> None:
        tasks = self._ending.union(*(protocol.handler.tasks for protocol in self._protocols))
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=limit)
            if late:
                self._log.write("requests ended", f"{len(late)} were in progress", level=logging.INFO)

    async def _wait_until_gone(self, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._all_gone.wait()
        except TimeoutError:
            return

    async def __aenter__(self) -> Self:
        return self
