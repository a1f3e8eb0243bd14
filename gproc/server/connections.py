"""The connections that are open: whose they are, how many one owner may have, and which must be cut.

The owner is read once, from the TLS session, when the handshake is over; everything a client sends later cannot change
it. A connection whose certificate names nobody stays open just long enough to be told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from gproc.errors import GprocError, QuotaExceeded, Unauthenticated
from gproc.model import Identity
from gproc.server.identity import identify, peer_certificate
from gproc.server.log import EventLog, Throttle
from gproc.server.policy import Quotas, check_quota

__all__ = ["Connection", "Connections"]

_LINGER = 5.0
"""How long a refused connection stays open, in seconds, so that its first request can be answered."""


@dataclass(slots=True, eq=False)
class Connection:
    """One connection after its handshake."""

    transport: asyncio.Transport
    peer: str
    certificate: x509.Certificate | None = None
    owner: Identity | None = None
    refusal: GprocError | None = None
    """Why nothing will be done for it; None if it was accepted."""
    limit: asyncio.TimerHandle | None = None
    """Ends the connection: with its certificate, or soon if it was refused."""


class Connections:
    """All open connections of a server."""

    def __init__(self, log: EventLog, quotas: Quotas) -> None:
        self.quotas = quotas
        self._log = log
        self._throttle = Throttle()
        self._open: dict[asyncio.BaseTransport, Connection] = {}
        self._changed = asyncio.Event()

    def opened(self, transport: asyncio.Transport) -> None:
        """Take note of a connection and of whose it is."""
        connection = Connection(transport, _peer_name(transport))
        self._open[transport] = connection
        try:
            self._accept(connection)
        except (Unauthenticated, QuotaExceeded) as error:
            self._refuse(connection, error)

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection."""
        connection = self._open.pop(transport, None)
        if connection is not None and connection.limit is not None:
            connection.limit.cancel()
        self._changed.set()

    def owner_of(self, transport: asyncio.BaseTransport) -> Identity:
        """Return whose requests come over *transport*; raise why they are refused."""
        connection = self._open.get(transport)
        if connection is None:
            raise Unauthenticated("the connection is closed")
        if connection.refusal is not None:
            raise connection.refusal
        if connection.owner is None:
            raise Unauthenticated("the connection names nobody")
        return connection.owner

    def cut(self, reason_for: Callable[[x509.Certificate], str | None]) -> int:
        """Cut every connection whose certificate has a reason against it; return how many."""
        bad = [
            (each, reason)
            for each in self._open.values()
            if each.certificate and (reason := reason_for(each.certificate))
        ]
        for connection, reason in bad:
            self._log.warning("connection_cut", peer=connection.peer, owner=connection.owner, reason=reason)
            connection.transport.abort()
        return len(bad)

    async def close(self, patience: float) -> None:
        """Close all connections, giving their last bytes *patience* seconds; what is left then is cut."""
        for transport in list(self._open.values()):
            transport.transport.close()
        try:
            async with asyncio.timeout(patience):
                await self._wait_none()
        except TimeoutError:
            self.abort()
            await self._wait_none()

    def abort(self) -> None:
        """Cut all connections at once."""
        for connection in list(self._open.values()):
            connection.transport.abort()

    async def _wait_none(self) -> None:
        while self._open:
            self._changed.clear()
            await self._changed.wait()

    def _accept(self, connection: Connection) -> None:
        tls = connection.transport.get_extra_info("ssl_object")
        connection.certificate = peer_certificate(tls)
        owner = identify(connection.certificate)
        if tls.selected_alpn_protocol() != "h2":
            raise Unauthenticated("the connection does not speak HTTP/2 (ALPN h2)")
        current = sum(1 for each in self._open.values() if each.owner == owner)
        check_quota("connections", self.quotas.connections, current, owner)
        connection.owner = owner
        self._end_with_certificate(connection, connection.certificate)

    def _end_with_certificate(self, connection: Connection, certificate: x509.Certificate) -> None:
        left = (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
        connection.limit = asyncio.get_running_loop().call_later(max(0.0, left), self._expire, connection)

    def _expire(self, connection: Connection) -> None:
        self._log.warning("connection_cut", peer=connection.peer, owner=connection.owner, reason="expired")
        connection.transport.abort()

    def _refuse(self, connection: Connection, error: GprocError) -> None:
        connection.refusal = error
        connection.limit = asyncio.get_running_loop().call_later(_LINGER, connection.transport.abort)
        self.refused(connection.peer, str(error))

    def refused(self, peer: str, reason: str) -> None:
        """Log that a connection was refused, at most one line a second."""
        held_back = self._throttle.admit()
        if held_back is not None:
            self._log.warning("connection_refused", peer=peer, reason=reason, held_back=held_back or None)


def _peer_name(transport: asyncio.BaseTransport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else "unknown"
