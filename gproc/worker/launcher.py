"""The server's side of the spawner: keeps one alive and has it fork shims."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

from gproc.errors import InternalError, Unavailable

__all__ = ["Launcher"]

_SEND_SECONDS = 30.0
_END_SECONDS = 5.0


class Launcher:
    """Starts shims through a spawner, and a new spawner when the old one died."""

    def __init__(self) -> None:
        self._spawner: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._sending = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process id of the spawner, None if there is none."""
        return None if self._spawner is None else self._spawner.pid

    def open(self) -> None:
        """Start the spawner, so that the first job need not wait for it.

        Not in a thread: it takes a few milliseconds, and who was cancelled meanwhile would lose a spawner that runs.
        """
        if self._spawner is None or self._spawner.poll() is not None:
            self._discard()
            self._spawner, self._requests = _start_spawner()

    async def launch(self, directory: Path) -> socket.socket:
        """Have a shim started for *directory*; return the socket on which it will speak.

        Raises `Unavailable` if no spawner could be asked. Whether the shim lives is known when it speaks.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                await self._send(directory, theirs)
        except OSError as error:
            ours.close()
            raise Unavailable(f"the spawner does not take requests ({str(error) or 'too slow'}); try again") from error
        except BaseException:
            ours.close()
            raise
        return ours

    async def close(self) -> None:
        """End the spawner. Shims go on."""
        spawner = self._spawner
        self._discard()
        if spawner is not None:
            try:
                await asyncio.to_thread(spawner.wait, _END_SECONDS)
            except subprocess.TimeoutExpired:
                spawner.kill()
                await asyncio.to_thread(spawner.wait)

    def _discard(self) -> None:
        if self._requests is not None:
            self._requests.close()
        self._spawner = self._requests = None

    async def _send(self, directory: Path, theirs: socket.socket) -> None:
        """Send a request, and once more if the spawner turns out to be dead; raises `OSError`."""
        # One at a time: the event loop tells only one that a socket can be written to.
        async with asyncio.timeout(_SEND_SECONDS), self._sending:
            try:
                await self._send_once(directory, theirs)
            except ConnectionError:
                await self._send_once(directory, theirs)

    async def _send_once(self, directory: Path, theirs: socket.socket) -> None:
        self.open()
        while self._requests is not None:
            try:
                socket.send_fds(self._requests, [os.fsencode(directory)], [theirs.fileno()])
            except BlockingIOError:
                await _writable(self._requests)
            else:
                return
        raise BrokenPipeError


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(sock, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(sock)


def _start_spawner() -> tuple[subprocess.Popen[bytes], socket.socket]:
    # Datagrams that keep their borders, and an end that is noticed when either side dies.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    try:
        spawner = subprocess.Popen(
            # Isolated, so that nothing in the environment or the current directory gets into shims.
            [sys.executable, "-I", "-m", "gproc.worker.spawner"],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise InternalError(f"the spawner could not be started: {error}") from error
    finally:
        theirs.close()
    return spawner, ours
