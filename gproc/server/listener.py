"""The door: takes connections, does the TLS handshake with the context of the moment, and hands them on.

Done by hand instead of with `loop.create_server` for three reasons: new certificates are just another context, a failed
handshake can be logged with its reason, and the number of unfinished handshakes has a bound (when it is reached, the
oldest one goes, so slow strangers cannot keep an honest client waiting).
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack

from gproc.errors import ConfigError
from gproc.server.log import describe
from gproc.server.options import parse_address

__all__ = ["Listener", "bind", "name_of"]

HANDSHAKE_TIMEOUT = 5.0
_BACKLOG = 512
_MAX_HANDSHAKES = 256
_PAUSE = 0.5
"""How long to wait after the system had no descriptor or memory for a connection, in seconds."""
_BIND_ATTEMPTS = 8
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_PRESSURE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def bind(addr: str) -> list[socket.socket]:
    """Return listening sockets on every address that *addr* means, all on one port; raise `ConfigError` if it fails."""
    host, port = parse_address(addr)
    attempt = 1
    while True:
        try:
            return _bind_all(host, port)
        except OSError as error:
            # A free port may be free on the first address only: take another.
            if port != 0 or error.errno != errno.EADDRINUSE or attempt == _BIND_ATTEMPTS:
                reason = error.strerror or error
                raise ConfigError(f"address {addr}: cannot listen there: {reason}; give another with --addr") from None
            attempt += 1


def _bind_all(host: str | None, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    absent: OSError | None = None
    with ExitStack() as on_failure:
        sockets: list[socket.socket] = []
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            try:
                sockets.append(on_failure.enter_context(_bind_one(family, (address[0], port, *address[2:]))))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error  # the name has an address that this machine has not
                continue
            port = sockets[0].getsockname()[1]
        if not sockets:
            raise absent or OSError(errno.EADDRNOTAVAIL, "no such address")
        on_failure.pop_all()
        return sockets


def _bind_one(family: int, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def name_of(addr: str, sockets: list[socket.socket]) -> str:
    """Return *addr* with the port that was taken."""
    return f"{addr.rpartition(':')[0]}:{sockets[0].getsockname()[1]}"


class Listener:
    """Accepts on *sockets* while `run` runs; closes them at its end."""

    def __init__(
        self,
        sockets: list[socket.socket],
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        refused: Callable[[str, str], None],
    ) -> None:
        self.context = context
        """Put another one here, and the next connection uses it."""
        self._sockets = sockets
        self._protocol = protocol
        self._refused = refused
        self._handshakes: dict[asyncio.Task[None], socket.socket] = {}

    async def run(self) -> None:
        """Accept until cancelled; then no socket and no unfinished handshake is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for listening in self._sockets:
                    tasks.create_task(self._accept_all(listening, tasks))
        finally:
            for listening in self._sockets:
                listening.close()

    async def _accept_all(self, listening: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _PRESSURE:
                    self._refused("unknown", f"cannot accept: {error.strerror}")
                    self._drop_oldest()
                    await asyncio.sleep(_PAUSE)
                continue
            self._make_room()
            task = tasks.create_task(self._shake_hands(connection, f"{address[0]}:{address[1]}"))
            self._handshakes[task] = connection
            task.add_done_callback(self._handshake_over)

    def _handshake_over(self, task: asyncio.Task[None]) -> None:
        connection = self._handshakes.pop(task)
        if task.cancelled():
            connection.close()  # a task cancelled before its first step could not do it

    def _make_room(self) -> None:
        if len(self._handshakes) >= _most_handshakes():
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = next((task for task in self._handshakes if not task.cancelling()), None)
        if oldest is not None:
            oldest.cancel()

    async def _shake_hands(self, connection: socket.socket, peer: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self.context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl.SSLError, ConnectionError and TimeoutError among them
            self._refused(peer, _reason(error))
        except Exception as error:  # noqa: BLE001 - one connection's trouble must not end the server
            self._refused(peer, describe(error))


def _most_handshakes() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(_MAX_HANDSHAKES, descriptors // 4))


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {(error.reason or 'unknown').replace('_', ' ').lower()}"
    return f"TLS handshake failed: {error.strerror or str(error) or 'closed by the client'}"
