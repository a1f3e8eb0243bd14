"""A real server inside the program that tests it: real TLS, real processes, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any, TypeVar

from gproc.client import Client
from gproc.errors import JobNotFound, Unavailable
from gproc.model import LIVE_STATES, Identity, JobId
from gproc.model.policy import Quotas, Rule
from gproc.server.app import RunningServer, open_server
from gproc.server.options import ServeOptions
from gproc.testing.authority import Authority, Files
from gproc.worker import Supervisor

__all__ = ["EmbeddedServer", "embedded_server", "end_jobs", "make_options", "to_its_end"]

Result = TypeVar("Result")

_PAGE = 1000
_END_SECONDS = 30.0
_PAUSE = 0.02


class EmbeddedServer:
    """A server that runs in this program. Made by `embedded_server`."""

    def __init__(self, server: RunningServer, authority: Authority) -> None:
        self.server = server
        self.authority = authority
        self._clients: list[Client] = []

    @property
    def addr(self) -> str:
        """``localhost:PORT``."""
        return self.server.addr

    @property
    def state_dir(self) -> Path:
        """Where the server keeps its jobs."""
        return self.server.options.state_dir

    def files(self, name: Identity) -> Files:
        """Return the certificate files of the client *name*, as the command line takes them."""
        return self.authority.client(name)

    def client(self, name: Identity) -> Client:
        """Return a client that is *name*; it connects when first used, and is closed with the server at the latest."""
        files = self.files(name)
        client = Client(self.addr, cacert=files.cacert, cert=files.cert, key=files.key)
        self._clients.append(client)
        return client

    async def close_clients(self) -> None:
        """Close all clients that were handed out."""
        while self._clients:
            await self._clients.pop().aclose()


@asynccontextmanager
async def embedded_server(
    *,
    users: Mapping[Identity, str] | None = None,
    rules: tuple[Rule, ...] = (),
    quotas: Quotas | None = None,
    directory: Path | None = None,
) -> AsyncIterator[EmbeddedServer]:
    """Give a server on a free port of localhost, with an authority of its own.

    At the end of the block its clients are closed, its jobs are killed, and its files are removed (unless they are in
    a *directory* given for them). Jobs run as the user of this program, be it root.
    """
    # Made without waiting: cancelled in between, nobody would know its name.
    parent = directory or Path(tempfile.mkdtemp(prefix="gproc-"))
    try:
        authority = await to_its_end(asyncio.to_thread(Authority, parent))
        options = make_options(authority.server(), parent, users=users or {}, rules=rules, quotas=quotas or Quotas())
        async with _lifetime(options, authority) as embedded:
            yield embedded
    finally:
        if directory is None:
            await to_its_end(asyncio.to_thread(shutil.rmtree, parent))


@asynccontextmanager
async def _lifetime(options: ServeOptions, authority: Authority) -> AsyncIterator[EmbeddedServer]:
    """Give a server that lives in a task of its own, which is never cancelled: half a server cannot be cleaned up."""
    ready: asyncio.Future[EmbeddedServer] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def live() -> None:
        async with open_server(options) as server:
            embedded = EmbeddedServer(server, authority)
            ready.set_result(embedded)
            await over.wait()
            await embedded.close_clients()
            await server.close(patience=timedelta(0))
            await end_jobs(server.supervisor)

    life = asyncio.create_task(live())
    try:
        first: tuple[asyncio.Future[Any], ...] = (life, ready)
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            yield ready.result()
    finally:
        over.set()
        await to_its_end(life)


async def to_its_end(work: Coroutine[Any, Any, Result] | asyncio.Task[Result]) -> Result:
    """Return what *work* returns; if cancelled, still wait until it is through."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and not task.cancelled():
        task.exception()  # looked at: being cancelled is what the caller is told
        raise cancelled
    return task.result()


def make_options(
    files: Files, parent: Path, *, users: Mapping[Identity, str], rules: tuple[Rule, ...], quotas: Quotas
) -> ServeOptions:
    """Return the options of a server with these *files*, whose state is under *parent*."""
    return ServeOptions(
        addr="localhost:0",
        cacert=files.cacert,
        cert=files.cert,
        key=files.key,
        state_dir=parent / "state",
        run_as=pwd.getpwuid(0).pw_name if os.geteuid() == 0 else None,
        users=users,
        rules=rules,
        quotas=quotas,
    )


async def end_jobs(supervisor: Supervisor) -> None:
    """Kill all jobs and return when they are gone; raise `TimeoutError` if that takes too long."""
    async with asyncio.timeout(_END_SECONDS):
        while live := supervisor.list(states=LIVE_STATES, page_size=_PAGE).jobs:
            await asyncio.gather(*(_end_job(supervisor, job.id) for job in live))


async def _end_job(supervisor: Supervisor, job_id: JobId) -> None:
    try:
        await supervisor.stop(job_id, signal=SIGKILL, grace=timedelta(0))
    except Unavailable:
        await asyncio.sleep(_PAUSE)  # its shim is just ending, or beginning: look again
    except JobNotFound:
        return
