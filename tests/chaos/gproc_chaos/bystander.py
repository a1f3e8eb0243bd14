"""A process that has nothing to do with Gproc, and notices every signal that is sent to it."""

from __future__ import annotations

import asyncio
import signal
import sys
from types import TracebackType
from typing import Self

from gproc.worker.tree import start_ticks

__all__ = ["Bystander"]

_LAST = signal.SIGRTMAX
_SCRIPT = """
import os, signal
os.setsid()
reader, writer = os.pipe2(os.O_CLOEXEC)
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda *_: None)
os.write(1, b'ready\\n')
while True:
    os.write(1, b'%d\\n' % os.read(reader, 1)[0])
"""


class Bystander:
    """Leads a session and a group of its own. Use it as an async context manager."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _SCRIPT),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._line()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def start_ticks(self) -> int:
        """When it was started, as /proc tells it."""
        return start_ticks(self.pid) or 0

    async def end(self) -> list[str]:
        """End it; return what was done to it before that: signals, or that it was killed. Again: nothing."""
        if self._process.returncode is not None and self._process.stdout is not None and self._process.stdout.at_eof():
            return []
        self._process.send_signal(_LAST)  # what it notices before this one was not sent by us
        noticed = []
        while (line := await self._line()) != str(int(_LAST)):
            if not line:
                noticed.append("was killed")
                break
            noticed.append(signal.Signals(int(line)).name)
        if not noticed or noticed[-1] != "was killed":
            self._process.kill()
        await self._process.wait()
        return noticed

    async def _line(self) -> str:
        if self._process.stdout is None:
            return ""
        async with asyncio.timeout(10):
            return (await self._process.stdout.readline()).decode().strip()
