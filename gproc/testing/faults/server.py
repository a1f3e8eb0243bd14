"""A server in a process of its own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from types import TracebackType
from typing import Self

from gproc.client import Client, Patience
from gproc.errors import StateError, Unavailable
from gproc.model import Identity
from gproc.testing.authority import Authority
from gproc.testing.embedded import end_jobs, to_its_end
from gproc.worker import Supervisor

__all__ = ["ServerProcess"]

_READY_SECONDS = 60.0
_END_SECONDS = 30.0
_READY = "listening on "


class ServerProcess:
    """A real ``gproc serve``. Use it as an async context manager: it runs inside the block, and nothing is left after.

    Certificates and configuration are written to *directory*, and its state is kept in ``directory/state`` unless
    *state_dir* says otherwise. It keeps its port when it is started again. Jobs run as the user of this program.
    """

    def __init__(
        self,
        directory: Path,
        *,
        state_dir: Path | None = None,
        config: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.state_dir = state_dir or directory / "state"
        self.authority = Authority(directory)
        self.addr = "localhost:0"
        self.log: deque[str] = deque(maxlen=1000)
        """What it said on standard error, the last thousand lines."""
        self._config = directory / "gproc.toml"
        self._config.write_text(config, encoding="utf-8")
        self._env = dict(env or {})
        self._process: asyncio.subprocess.Process | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await to_its_end(self.kill())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await to_its_end(self._end_all())

    @property
    def pid(self) -> int:
        """The process id of the server that runs."""
        if self._process is None:
            raise StateError("the server does not run")
        return self._process.pid

    def client(self, name: Identity, *, addr: str | None = None, patience: Patience | None = None) -> Client:
        """Return a client that is *name*, at *addr* if it is to go through a `Line`; closed with the server."""
        files = self.authority.client(name)
        client = Client(
            addr or self.addr, cacert=files.cacert, cert=files.cert, key=files.key, patience=patience or Patience()
        )
        self._clients.append(client)
        return client

    async def start(self) -> float:
        """Start it; return how many seconds passed until it took connections.

        Raises `StateError`, with what it said, if it ended instead or did not come.
        """
        began = time.monotonic()
        process = await to_its_end(self._spawn())
        try:
            async with asyncio.timeout(_READY_SECONDS):
                self.addr = await self._ready(process)
        except TimeoutError:
            await self.kill()
            raise StateError(f"the server was not ready within {_READY_SECONDS:g} s") from None
        self._hearing = asyncio.create_task(self._hear(process), name="gproc server log")
        return time.monotonic() - began

    async def kill(self) -> None:
        """Kill it with SIGKILL and return when it is gone; without one that runs, do nothing."""
        await self._leave(SIGKILL)

    async def end(self) -> None:
        """Ask it to end (SIGTERM), and return when it has."""
        await self._leave(SIGTERM)

    async def restart(self) -> float:
        """Kill it and start it again on the same port; return how many seconds passed until it took connections."""
        await self.kill()
        return await self.start()

    def freeze(self) -> None:
        """Keep it from doing anything (SIGSTOP) until `thaw`."""
        self._signal(SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(SIGCONT)

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._command(),
            env={**os.environ, **self._env},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return self._process

    def _command(self) -> list[str]:
        files = self.authority.server()
        me = pwd.getpwuid(os.geteuid()).pw_name
        return [
            *(sys.executable, "-m", "gproc"),
            *("--addr", self.addr, "--cacert", str(files.cacert), "--cert", str(files.cert), "--key", str(files.key)),
            *("serve", "--state-dir", str(self.state_dir), "--config", str(self._config), "--drain", "1s"),
            *(("--run-as", me) if os.geteuid() == 0 else ()),
        ]

    async def _ready(self, process: asyncio.subprocess.Process) -> str:
        """Return the address that the server says it listens on."""
        while line := await self._line(process):
            if line.startswith(_READY):
                return line.removeprefix(_READY)
        await self.kill()
        raise StateError("the server did not start: " + " | ".join(list(self.log)[-5:]))

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        """Take what the server says, so that it never has to wait."""
        while await self._line(process):
            pass

    async def _line(self, process: asyncio.subprocess.Process) -> str:
        if process.stderr is None:
            return ""
        line = (await process.stderr.readline()).decode(errors="replace")
        if line:
            self.log.append(line.rstrip("\n"))
        return line.rstrip("\n") or ("\n" if line else "")

    async def _leave(self, number: Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
            if self._hearing is not None:
                await asyncio.wait([self._hearing])
        self._process = self._hearing = None

    def _signal(self, number: Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            raise StateError("the server does not run")
        self._process.send_signal(number)

    async def _end_all(self) -> None:
        while self._clients:
            await self._clients.pop().aclose()
        await self.kill()
        await self._end_jobs()

    async def _end_jobs(self) -> None:
        """Kill all jobs of the state directory, whoever runs them by now."""
        try:
            async with Supervisor(self.state_dir) as supervisor:
                await end_jobs(supervisor)
        except Unavailable as error:
            raise StateError(f"jobs were left behind in {self.state_dir}: {error}") from error
