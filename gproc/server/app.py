"""The server put together: where everything is made, started, reloaded and ended.

::

    listener ─► connection ─► protocol ─► service ─► supervisor
    (sockets,   (owner,        (HTTP/2)    (rpcs)      (jobs)
     TLS)        limits)
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta

from gproc.errors import GprocError, InternalError
from gproc.server.connections import Connections
from gproc.server.drain import Gate
from gproc.server.health import HealthStatus, with_health_and_reflection
from gproc.server.ledger import Ledger
from gproc.server.listener import Listener, bind, name_of
from gproc.server.log import EventLog, logging_to
from gproc.server.options import ServeOptions
from gproc.server.protocol import Protocols
from gproc.server.service import Access, JobService
from gproc.server.tls import TlsFiles, load_tls, why_refused
from gproc.server.users import resolve_users
from gproc.worker import Supervisor

__all__ = ["RunningServer", "open_server", "serve"]

_CLOSE_PATIENCE = 1.0
"""How long the last bytes of each connection may take, in seconds."""


async def serve(
    options: ServeOptions,
    *,
    ready: Callable[[str], None] | None = None,
    reload: Callable[[], ServeOptions] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then drain and return. A second signal ends it at once. Jobs go on.

    SIGHUP reads certificates, key and revocation list again, and what *reload* returns of users, rules and quotas; if
    anything is wrong with them the server goes on as it was. *ready* is called with ``HOST:PORT`` once connections are
    taken.

    Raises `ConfigError` or `StateError` if the server cannot start. If cancelled, it ends at once, cleanly.
    """
    with logging_to(as_json=options.json_logs):
        async with open_server(options) as server:
            with _signals() as received:
                if ready is not None:
                    ready(server.addr)
                await _until_asked_to_end(server, received, reload or (lambda: options))
                await _drain_or_second_signal(server, received)


@asynccontextmanager
async def open_server(options: ServeOptions) -> AsyncIterator[RunningServer]:
    """Give a server that takes connections; at the end of the block it is closed at once, unless it was drained before.

    Raises like `serve`. Leaves signals and logging alone, so it can live inside other programs.
    """
    access = _access(options)
    tls = load_tls(_files(options))
    log = EventLog(logging.getLogger("gproc.server"))
    sockets = bind(options.addr)
    try:
        async with Supervisor(options.state_dir) as supervisor:
            connections = Connections(log, options.quotas)
            service = JobService(
                supervisor=supervisor,
                connections=connections,
                gate=Gate(),
                ledger=Ledger(options.quotas),
                access=access,
                log=log,
            )
            health = HealthStatus()
            protocols = Protocols(with_health_and_reflection(service, health), connections)
            listener = Listener(sockets, tls.context, protocols, connections.refused)
            server = RunningServer(name_of(options.addr, sockets), options, service, health, listener)
            log.info("server_started", addr=server.addr, state_dir=options.state_dir, pid=os.getpid())
            try:
                yield server
            finally:
                await server.close(patience=timedelta(0))
                log.info("server_ended", addr=server.addr)
    finally:
        for listening in sockets:
            listening.close()


class RunningServer:
    """A server that takes connections. Made by `open_server`."""

    def __init__(
        self, addr: str, options: ServeOptions, service: JobService, health: HealthStatus, listener: Listener
    ) -> None:
        self.addr = addr
        """``HOST:PORT`` with the port that was taken."""
        self.options = options
        self.supervisor = service.supervisor
        self._service = service
        self._health = health
        self._listener = listener
        self._accepting = asyncio.create_task(listener.run(), name="gproc listener")

    async def wait_failed(self) -> None:
        """Return never, unless the server stopped taking connections by a fault of its own: then raise it."""
        await asyncio.wait([self._accepting])
        if self._accepting.cancelled() or (error := self._accepting.exception()) is None:
            return
        raise InternalError(f"the server stopped taking connections: {error!r}") from error

    def reload(self, options: ServeOptions) -> None:
        """Use the files, users, rules and quotas of *options* from now on, and cut whom they refuse.

        If anything is wrong with them, raises `ConfigError` and changes nothing. Address and state directory stay.
        """
        access = _access(options)
        tls = load_tls(_files(options))
        service = self._service
        service.access.users, service.access.rules = access.users, access.rules
        service.ledger.quotas = service.connections.quotas = options.quotas
        self._listener.context = tls.context
        self.options = options
        now = datetime.now(UTC)
        cut = service.connections.cut(lambda certificate: why_refused(tls, certificate, now))
        service.log.info("server_reloaded", connections_cut=cut)

    async def close(self, *, patience: timedelta) -> None:
        """End: take nobody new, send followers away, give other requests *patience*, close all connections.

        May be called again, and while it runs, with less patience.
        """
        self._health.set(serving=False)
        self._service.gate.drain()
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        with suppress(TimeoutError):
            async with asyncio.timeout(patience.total_seconds()):
                await self._service.gate.wait_empty()
        await self._service.connections.close(_CLOSE_PATIENCE if patience else 0.0)


@contextmanager
def _signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Receive SIGTERM, SIGINT and SIGHUP through a queue until the end of the block."""
    loop, received = asyncio.get_running_loop(), asyncio.Queue[signal.Signals]()
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in wanted:
        loop.add_signal_handler(number, received.put_nowait, number)
    try:
        yield received
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)


async def _until_asked_to_end(
    server: RunningServer, received: asyncio.Queue[signal.Signals], reload: Callable[[], ServeOptions]
) -> None:
    failed = asyncio.create_task(server.wait_failed())
    try:
        while True:
            asked = asyncio.create_task(received.get())
            await asyncio.wait([asked, failed], return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                asked.cancel()
                failed.result()
                return
            if asked.result() is not signal.SIGHUP:
                return
            _reload(server, reload)
    finally:
        failed.cancel()


def _reload(server: RunningServer, reload: Callable[[], ServeOptions]) -> None:
    try:
        server.reload(reload())
    except GprocError as error:
        EventLog(logging.getLogger("gproc.server")).error("reload_failed", reason=str(error))


async def _drain_or_second_signal(server: RunningServer, received: asyncio.Queue[signal.Signals]) -> None:
    draining = asyncio.create_task(server.close(patience=server.options.drain))
    again = asyncio.create_task(_next_end_signal(received))
    try:
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
    finally:
        draining.cancel()
        again.cancel()
        await asyncio.wait([draining, again])


async def _next_end_signal(received: asyncio.Queue[signal.Signals]) -> None:
    while await received.get() is signal.SIGHUP:
        pass


def _access(options: ServeOptions) -> Access:
    return Access(resolve_users(options.run_as, options.users, euid=os.geteuid()), options.rules)


def _files(options: ServeOptions) -> TlsFiles:
    return TlsFiles(cacert=options.cacert, cert=options.cert, key=options.key, crl=options.crl)
