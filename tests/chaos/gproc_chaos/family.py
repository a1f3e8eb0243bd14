"""A job with many descendants that try to outlive it, and a way to know when the last of them is gone.

Each of them holds the writing end of a FIFO open; whoever reads it sees its end when nobody is left. That cannot be
fooled: not by sessions, not by double forks, not by names.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Family"]

_SCRIPT = """
import os, signal, sys, time
fifo, count, manner = sys.argv[1], int(sys.argv[2]), sys.argv[3]
fd = os.open(fifo, os.O_WRONLY)
os.set_inheritable(fd, True)
def live():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.write(fd, b'%d\\n' % os.getpid())
    if manner == 'frozen' and os.getpid() % 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(600)
for number in range(count):
    if os.fork() == 0:
        os.setsid()
        if number % 2 and os.fork() != 0:
            os._exit(0)
        live()
live()
"""


class Family:
    """A job of one parent and *count* descendants, half of them doubly forked; all ignore SIGTERM.

    In the *manner* ``frozen`` about half of them stop themselves with SIGSTOP. Use it as an async context manager.
    """

    def __init__(self, directory: Path, count: int, manner: str = "plain") -> None:
        self._fifo = directory / "family"
        self._count = count
        self._manner = manner
        self._seen = b""

    async def __aenter__(self) -> Self:
        os.mkfifo(self._fifo, 0o600)
        self._fd = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._fifo.unlink()

    @property
    def command(self) -> str:
        """The program to start."""
        return sys.executable

    @property
    def args(self) -> list[str]:
        """Its arguments."""
        return ["-I", "-S", "-c", _SCRIPT, str(self._fifo), str(self._count), self._manner]

    @property
    def pids(self) -> list[int]:
        """Who said that it lives."""
        return [int(line) for line in self._seen.split(b"\n")[:-1]]

    async def complete(self) -> None:
        """Return when all of them live."""
        async with asyncio.timeout(60):
            while len(self.pids) < self._count + 1:
                self._take()
                await asyncio.sleep(0.005)

    async def gone(self, limit: float) -> float | None:
        """Return how many seconds passed until nobody was left; None if somebody is after *limit* seconds."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            if self._take():
                return time.monotonic() - began
            await asyncio.sleep(0.005)
        return None

    def survivors(self) -> int:
        """Return how many of those who said that they live still do."""
        return sum(_is_alive(pid) for pid in self.pids)

    def kill(self) -> None:
        """End those who were left: they hold this family's FIFO open, so they are its own."""
        for pid in self.pids:
            if self._holds_fifo(pid):
                os.kill(pid, 9)

    def _holds_fifo(self, pid: int) -> bool:
        try:
            return any(fd.readlink() == self._fifo for fd in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return False

    def _take(self) -> bool:
        """Take what was said; return whether nobody is left who could say more."""
        try:
            while data := os.read(self._fd, 65536):
                self._seen += data
        except BlockingIOError:
            return False
        return True


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
