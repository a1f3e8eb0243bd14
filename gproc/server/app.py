"""The server put together: where everything is made, started, reloaded and ended.

::

    transport ─► door ─► service ─► supervisor
    (TLS,        (whose   (rpcs)     (jobs)
    HTTP/2)      it is)
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from gproc import wire
from gproc.errors import ConfigError, GprocError
from gproc.model.address import parse_address
from gproc.model.policy import Quotas
from gproc.server.door import Door
from gproc.server.endings import log_endings
from gproc.server.followers import Followers
from gproc.server.health import HealthService
from gproc.server.ledger import Ledger
from gproc.server.log import EventLog, describe, logging_to
from gproc.server.options import ServeOptions, waiting_for_start
from gproc.server.reflection import ReflectionService
from gproc.server.service import Access, JobService
from gproc.server.tls import Tls, TlsFiles, load_tls, why_expired, why_refused
from gproc.server.users import resolve_users
from gproc.transport import HardenedServer, Refusal, ServerConnection, TransportLimits
from gproc.worker import Supervisor

__all__ = ["RunningServer", "open_server", "serve"]

_EXPIRY_INTERVAL = 15.0
"""How often connections are looked through for certificates that have expired, in seconds."""


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
    with logging_to(as_json=options.json_logs), _signals() as received:
        async with open_server(options) as server:
            server.warn()
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
    async with Supervisor(options.state_dir, options.settings) as supervisor:
        service = JobService(
            supervisor=supervisor,
            followers=Followers(),
            ledger=Ledger(options.quotas),
            access=access,
            log=EventLog(logging.getLogger("gproc.server")),
        )
        server = RunningServer(options, service, tls)
        try:
            await server.start()
            yield server
        finally:
            await server.close(patience=timedelta(0))


class RunningServer:
    """A server that takes connections. Made by `open_server`."""

    def __init__(self, options: ServeOptions, service: JobService, tls: Tls) -> None:
        self.options = options
        self.addr = options.addr
        """``HOST:PORT``; once it was started, with the port that was taken."""
        self.supervisor = service.supervisor
        self._service = service
        self._tls = tls
        self._door = Door()
        self._server = HardenedServer(
            [service, HealthService(service.followers), ReflectionService()],
            codec=wire.RequestCodec(),
            status_details_codec=wire.StatusDetailsCodec(),
            limits=_limits(options.quotas),
            on_connection=self._admit,
        )
        self._tasks: list[asyncio.Task[None]] = []
        """What goes on in the background while it is started."""
        self._is_closed = False

    def warn(self) -> None:
        """Log what owners who share a Unix user can do to each other, and why clients may refuse our certificate."""
        if risk := self._service.access.users.risk():
            self._service.log.warning("users_shared", risk=risk)
        self._warn_of_certificate()

    def _warn_of_certificate(self) -> None:
        for reason in self._tls.doubts:
            self._service.log.warning("certificate_doubtful", reason=reason)

    async def start(self) -> None:
        """Take connections from now on; raise `ConfigError` if the address cannot be had."""
        host, port = parse_address(self.options.addr, to_listen=True)
        try:
            await self._server.start(host or None, port, ssl=self._tls.context)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"address {self.options.addr}: cannot listen there: {reason}; choose another") from None
        self.addr = f"{self.addr.rpartition(':')[0]}:{self._server.port}"
        self._tasks = [
            asyncio.create_task(self._cut_expired(), name="gproc expiry"),
            asyncio.create_task(log_endings(self.supervisor, self._service.log), name="gproc endings"),
        ]
        self._service.log.info("server_started", addr=self.addr, state_dir=self.options.state_dir, pid=os.getpid())

    def reload(self, options: ServeOptions) -> None:
        """Use the files, users, rules and quotas of *options* from now on, and cut whom they refuse.

        If anything is wrong with them, raises `ConfigError` and changes nothing. Address, state directory, settings and
        the number of connections stay as they were; if they were to change, that is logged.
        """
        access = _access(options)
        tls = load_tls(_files(options))
        service = self._service
        service.access.users, service.access.rules = access.users, access.rules
        service.ledger.quotas = options.quotas
        self._tls = tls
        self._server.replace_ssl(tls.context)
        self._warn_of_certificate()
        if waiting := waiting_for_start(self.options, options):
            reason = "these have changed and count from the next start of the server"
            service.log.warning("reload_partial", settings=", ".join(waiting), reason=reason)
        service.log.info("server_reloaded", connections_cut=self._cut_refused(self._server.connections))

    async def close(self, *, patience: timedelta) -> None:
        """End: take nobody new, send followers away, give other requests *patience*, close all connections.

        May be called again, with less patience, if it was cancelled; once it is done, that changes nothing.
        """
        if not self._tasks:
            self._server.close()  # it was never started: there is nobody to take leave of
            await self._server.wait_closed()
            return
        self._service.followers.dismiss()
        if patience:
            self._service.log.info("server_draining", patience=patience.total_seconds())
            await self._server.drain(patience.total_seconds())
        else:
            self._server.close()
            await self._server.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if not self._is_closed:
            self._is_closed = True
            self._service.log.info("server_ended", addr=self.addr)

    def _admit(self, connection: ServerConnection) -> Refusal | None:
        refusal = self._door.admit(connection)
        if connection.context is not self._tls.context:
            # Its handshake began before a reload, and went by the revocations of then.
            self._cut_refused({connection})
        return refusal

    def _cut_refused(self, connections: Collection[ServerConnection]) -> int:
        now = datetime.now(UTC)
        return self._door.cut(connections, lambda certificate: why_refused(self._tls, certificate, now))

    async def _cut_expired(self) -> None:
        """Let no connection outlive its certificate by much."""
        while True:
            await asyncio.sleep(_EXPIRY_INTERVAL)
            # Only the time has changed: a reload looks at all the rest, which costs a signature for each connection.
            self._door.cut(self._server.connections, partial(why_expired, now=datetime.now(UTC)))


@contextmanager
def _signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Receive SIGTERM, SIGINT and SIGHUP through a queue until the end of the block."""
    loop, received = asyncio.get_running_loop(), asyncio.Queue[signal.Signals]()
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in wanted:
        loop.add_signal_handler(number, received.put_nowait, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)  # whatever the one who executed us had blocked
    try:
        yield received
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)


async def _until_asked_to_end(
    server: RunningServer, received: asyncio.Queue[signal.Signals], reload: Callable[[], ServeOptions]
) -> None:
    while await received.get() is signal.SIGHUP:
        _reload(server, reload)


def _reload(server: RunningServer, reload: Callable[[], ServeOptions]) -> None:
    try:
        server.reload(reload())
    except Exception as error:  # noqa: BLE001 - whatever is wrong with new files, the server goes on as it was
        reason = str(error) if isinstance(error, GprocError) else describe(error)
        EventLog(logging.getLogger("gproc.server")).error("reload_failed", reason=reason)


async def _drain_or_second_signal(server: RunningServer, received: asyncio.Queue[signal.Signals]) -> None:
    draining = asyncio.create_task(server.close(patience=server.options.drain))
    again = asyncio.create_task(_until_asked_to_end(server, received, lambda: server.options))
    try:
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            draining.result()
    finally:
        draining.cancel()
        again.cancel()
        await asyncio.wait([draining, again])


def _access(options: ServeOptions) -> Access:
    users = resolve_users(options.run_as, options.users, euid=os.geteuid(), source=options.source)
    return Access(users, options.rules)


def _files(options: ServeOptions) -> TlsFiles:
    return TlsFiles(cacert=options.cacert, cert=options.cert, key=options.key, crl=options.crl)


def _limits(quotas: Quotas) -> TransportLimits:
    limits = TransportLimits()
    most = limits.connections if quotas.connections is None else quotas.connections
    return replace(limits, connections_per_owner=most)
