"""Listening sockets, and connections on their way to TLS.

asyncio's own server accepts as many connections as come, logs a hundred lines when descriptors run out, waits a minute
for each handshake, and from 3.12 on does not close before the last idle client. This one

- closes a connection that is one too many at once;
- drops the oldest handshake for the newest when too many are pending, so that peers who connect and keep silent do not
  keep out one who speaks;
- stops accepting for a moment when descriptors run out, and says so once a second;
- takes the TLS context anew for each connection, so that certificates can be replaced while it runs;
- leaves a peer whose handshake is refused time to read why.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl as tls
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gproc.transport.limits import TransportLimits
from gproc.transport.log import EventLog
from gproc.transport.secure import SecureTransport

__all__ = ["Acceptor", "listen"]

_AT_ONCE = 64
_PAUSE = 0.25
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_PORT_ATTEMPTS = 20
_LAST_WORD_SECONDS = 0.5
"""For a peer to read why it was refused: what it has sent meanwhile, unread, would take the alert away with a reset."""


async def listen(host: str | None, port: int, *, backlog: int = 1024) -> list[socket.socket]:
    """Return listening sockets for all addresses of *host*, all on one port; port 0 takes a free one.

    An address that this machine does not have (IPv6 may be off) is left out, as long as there is another. Raises
    `OSError` if there is none, or if one cannot be had for any other reason.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return _listen_on(addresses, backlog)
        except OSError as error:
            # A port that is free for one address may be taken for the next.
            if port or error.errno != errno.EADDRINUSE or attempt == _PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _listen_on(addresses: Sequence[tuple[int, tuple[Any, ...]]], backlog: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses:
            port = address[1] or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sockets.append(_listen_at(family, (address[0], port, *address[2:]), backlog))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
    except OSError:
        for listener in sockets:
            listener.close()
        raise
    if missing is not None and not sockets:
        raise missing
    return sockets


def _listen_at(family: int, address: tuple[Any, ...], backlog: int) -> socket.socket:
    # Named, because asyncio sets TCP_NODELAY only where it sees the protocol; else answers wait up to 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


@dataclass(eq=False, slots=True)
class _Arrival:
    """A connection whose handshake is in progress."""

    sock: socket.socket
    peer: str
    task: asyncio.Task[None] | None = None
    is_taken: bool = False
    """Whether asyncio owns the socket by now."""


class Acceptor:
    """Accepts connections from *sockets* and leads them through TLS to a protocol that *make_protocol* makes."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        make_protocol: Callable[[], asyncio.BufferedProtocol],
        count_open: Callable[[], int],
        ssl: tls.SSLContext,
        limits: TransportLimits,
        log: EventLog,
    ) -> None:
        self.sockets = list(sockets)
        self.ssl = ssl
        """The context of the connections that come from now on."""
        self._make_protocol = make_protocol
        self._count_open = count_open
        self._limits = limits
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._scratch = memoryview(bytearray(limits.read_size))
        self._pending: dict[_Arrival, None] = {}  # in the order of arrival
        self._tasks: set[asyncio.Task[None]] = set()  # theirs, and those of handshakes that were dropped
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._resume = None
        for listener in self.sockets:
            listener.setblocking(False)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """Stop accepting, close the listening sockets, and drop all handshakes in progress."""
        if self._resume is not None:
            self._resume.cancel()
        for listener in self.sockets:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self.sockets.clear()
        for arrival in list(self._pending):
            self._drop(arrival)

    async def wait_closed(self) -> None:
        """Wait until the last handshake is dropped."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._pause(error)
                else:
                    self._log.write("accept failed", str(error))
                return
            self._admit(sock, address)

    def _pause(self, error: OSError) -> None:
        self._log.write("accept paused", f"{error.strerror}; trying again in {_PAUSE:g} s", level=logging.ERROR)
        for listener in self.sockets:
            self._loop.remove_reader(listener.fileno())
        self._resume = self._loop.call_later(_PAUSE, self.start)

    def _admit(self, sock: socket.socket, address: object) -> None:
        peer = f"{address[0]}" if isinstance(address, tuple) else ""
        if self._count_open() >= self._limits.connections:
            sock.close()
            self._log.write("connection refused", f"{self._limits.connections} connections are open", peer=peer)
            return
        if len(self._pending) >= self._limits.pending_handshakes:
            self._log.write("handshake dropped", f"{len(self._pending)} are pending; this is the oldest")
            self._drop(next(iter(self._pending)))
        sock.setblocking(False)
        arrival = _Arrival(sock, peer)
        self._pending[arrival] = None
        arrival.task = self._loop.create_task(self._shake_hands(arrival))
        self._tasks.add(arrival.task)
        arrival.task.add_done_callback(lambda task: self._settled(arrival, task))

    def _drop(self, arrival: _Arrival) -> None:
        self._pending.pop(arrival, None)
        if arrival.task is not None:
            arrival.task.cancel()

    def _settled(self, arrival: _Arrival, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._pending.pop(arrival, None)
        arrival.task = None  # one that was cancelled leads back here, and would wait for the collector, too
        if not arrival.is_taken:
            arrival.sock.close()

    async def _shake_hands(self, arrival: _Arrival) -> None:
        arrival.is_taken = True
        try:
            await self._secure(arrival.sock)
        except (OSError, EOFError) as error:
            self._log.write("handshake failed", str(error) or type(error).__name__, peer=arrival.peer)
            # It leads to the transport, which knows the error: a circle, and all of TLS would wait for the collector.
            error.__traceback__ = None

    async def _secure(self, sock: socket.socket) -> None:
        limits = self._limits
        secure = SecureTransport(
            self._make_protocol,
            self.ssl,
            scratch=self._scratch,
            shutdown_timeout=limits.shutdown_timeout,
            server_side=True,
        )
        try:
            await self._loop.connect_accepted_socket(lambda: secure, sock)
        except asyncio.CancelledError:
            secure.abort()  # uvloop tells it nothing
            raise
        try:
            await secure.shake(limits.handshake_timeout)
        except OSError:
            # It counts as pending meanwhile, and is dropped first when there are too many.
            await secure.wait_gone(_LAST_WORD_SECONDS)
            raise
