"""The embedded server in a thread of its own, for tests that have no event loop, or one that ends before the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gproc.client import Client
from gproc.model import Identity
from gproc.testing.authority import Files
from gproc.testing.embedded import EmbeddedServer, embedded_server

if TYPE_CHECKING:
    from gproc.client import blocking

__all__ = ["ThreadedServer", "threaded_server"]


class ThreadedServer:
    """A server that runs in another thread. Made by `threaded_server`."""

    def __init__(self, embedded: EmbeddedServer) -> None:
        self._embedded = embedded
        self.addr = embedded.addr
        """``localhost:PORT``."""
        self.state_dir: Path = embedded.state_dir
        """Where the server keeps its jobs."""
        self._closers: list[Callable[[], None]] = []

    def files(self, name: Identity) -> Files:
        """Return the certificate files of the client *name*, as the command line takes them."""
        return self._embedded.files(name)

    def client(self, name: Identity) -> Client:
        """Return a client that is *name*, for ``async with``: close it in the loop that used it."""
        files = self.files(name)
        return Client(self.addr, cacert=files.cacert, cert=files.cert, key=files.key)

    def blocking_client(self, name: Identity) -> blocking.Client:
        """Return a client that is *name* for code without an event loop; it is closed with the server at the latest."""
        from gproc.client import blocking  # noqa: PLC0415 - few need it

        files = self.files(name)
        client = blocking.Client(self.addr, cacert=files.cacert, cert=files.cert, key=files.key)
        self._closers.append(client.close)
        return client

    def close_clients(self) -> None:
        """Close all blocking clients that were handed out."""
        while self._closers:
            self._closers.pop()()


@contextmanager
def threaded_server(**options: Any) -> Iterator[ThreadedServer]:
    """Give a server like that of `embedded_server`, which also takes the *options*, running in a thread of its own."""
    ready: Future[tuple[EmbeddedServer, Callable[[], None]]] = Future()
    lives = threading.Lock()
    lives.acquire()
    thread = threading.Thread(target=_run, args=(ready, lives, options), name="gproc server")
    thread.start()
    try:
        embedded, _ = ready.result()
        server = ThreadedServer(embedded)
        try:
            yield server
        finally:
            server.close_clients()
    finally:
        # As soon as it is ready, if it is not yet: who interrupts the beginning does not wait for ever.
        ready.add_done_callback(_end)
        _wait_for(lives)
        thread.join()


def _wait_for(lives: threading.Lock) -> None:
    """Wait until the server has ended; if interrupted, still do: what it left, nobody else would take away."""
    # Thread.join of Python 3.11 cannot be called again for this: interrupted once, it takes the thread for over.
    interrupted: KeyboardInterrupt | None = None
    has_ended = False
    while not has_ended:
        try:
            has_ended = lives.acquire()
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _run(
    ready: Future[tuple[EmbeddedServer, Callable[[], None]]], lives: threading.Lock, options: dict[str, Any]
) -> None:
    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with embedded_server(**options) as embedded:
            ready.set_result((embedded, lambda: _call_soon(loop, ended)))
            await ended.wait()

    try:
        asyncio.run(main())
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)
    finally:
        lives.release()


def _end(ready: Future[tuple[EmbeddedServer, Callable[[], None]]]) -> None:
    if ready.exception() is None:
        _, end = ready.result()
        with suppress(RuntimeError):  # its loop is closed: it failed, and ends by itself
            end()


def _call_soon(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    loop.call_soon_threadsafe(ended.set)
