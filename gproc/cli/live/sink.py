"""Bytes to a descriptor: all of them, in order, without stopping the event loop while a reader is slow."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
from contextlib import suppress
from types import TracebackType
from typing import Self

from gproc.cli.console import wrote

__all__ = ["Sink"]

_WANTED_PIPE = 1 << 20
_NAMES = {1: "standard output", 2: "standard error"}


class Sink:
    """A descriptor to write output to.

    Pipes and terminals are opened again as non-blocking: setting the flag on the descriptor we were given would set it
    for everybody who shares it, the shell included. Whatever cannot be opened again (somebody else's terminal)
    is written to as it is; a socket need not be; files never make anybody wait.
    """

    def __init__(self, fd: int) -> None:
        self._given = fd
        self._fd = fd
        self._own = False
        self._socket: socket.socket | None = None
        self._turn = asyncio.Lock()
        self.written = 0
        """How many bytes went out."""

    def __enter__(self) -> Self:
        mode = os.fstat(self._given).st_mode
        # Opened for reading only is how a closed descriptor is held: opened again, it would swallow everything.
        may_write = fcntl.fcntl(self._given, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        if may_write and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
            with suppress(OSError):
                self._fd = os.open(f"/proc/self/fd/{self._given}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
                self._own = True
        if may_write and stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self._given))
            self._fd = self._socket.fileno()
        if stat.S_ISFIFO(mode):
            with suppress(OSError):  # more bytes per wake-up; a user may have used up the allowance
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _WANTED_PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            os.close(self._fd)
        if self._socket is not None:
            self._socket.close()
        self._fd, self._own, self._socket = self._given, False, None

    async def write(self, data: bytes | memoryview) -> None:
        """Write all of *data*, in one piece whoever else writes; raise `BrokenPipeError` if nobody reads any more.

        Cancelling may cut it anywhere.
        """
        left = memoryview(data)
        async with self._turn:
            while left:
                try:
                    count = self._put(left)
                    wrote(self._given, left[:count])
                    self.written += count
                    left = left[count:]
                except BlockingIOError:
                    await self._writable()
                except OSError as error:
                    raise OSError(error.errno, error.strerror, _NAMES.get(self._given)) from None

    def _put(self, data: memoryview) -> int:
        return os.write(self._fd, data) if self._socket is None else self._socket.send(data, socket.MSG_DONTWAIT)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(self._fd, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_writer(self._fd)
