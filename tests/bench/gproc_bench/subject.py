"""Gproc as it is measured: `gproc serve` in a process, `gproc.Client` in another, or the `gproc` command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gproc_bench.processes import Driver, LineReader, end
from gproc_bench.session import Loop, Missing, Session

__all__ = ["GprocServer", "gproc_name", "gproc_names", "gproc_program", "start_client", "start_server"]

CONFIG = """\
[quotas]
running_jobs = 100000
connections = 10000
followers = 100000
starts_per_second = 1000000
"""


@dataclass(frozen=True, slots=True)
class GprocServer:
    """A running server."""

    process: subprocess.Popen[bytes]
    addr: str
    state_dir: Path
    start_seconds: float
    """From the start of the process until it said that it listens."""
    env: dict[str, str]

    @property
    def pid(self) -> int:
        """The server's process."""
        return self.process.pid

    @property
    def uses_uvloop(self) -> bool:
        """Whether uvloop is loaded into the server."""
        return "uvloop" in Path(f"/proc/{self.pid}/maps").read_text()

    def command(self, *arguments: str) -> list[str]:
        """Return a `gproc` command line; where the server is and who we are is in `env`."""
        return [gproc_program(), *arguments]


def gproc_name(loop: Loop) -> str:
    """Return the name of Gproc in the table, when it runs on *loop*."""
    return f"gproc {loop.value}"


def gproc_names(session: Session) -> list[str]:
    """Return the names of all variants of Gproc that this run measures."""
    return [gproc_name(loop) for loop in session.options.loops]


def gproc_program() -> str:
    """Return the command that belongs to this interpreter; raises `Missing`."""
    beside = Path(sys.executable).with_name("gproc")
    found = str(beside) if beside.exists() else shutil.which("gproc")
    if found is None:
        raise Missing("gproc is not installed in this environment (pip install -e .)")
    return found


def start_server(
    session: Session, stack: ExitStack, loop: Loop = Loop.ASYNCIO, state_dir: Path | None = None
) -> GprocServer:
    """Start `gproc serve` on a free port, with a new state directory unless one is given; ended with *stack*.

    Its log is in the directory beside the state; if it does not come up, what it said is in the error.
    """
    place = session.directory("gproc")
    state = state_dir or place / "state"
    (place / "config.toml").write_text(CONFIG)
    argv = [gproc_program(), "--addr", "localhost:0", *_identity(session), "serve"]
    argv += ["--state-dir", str(state), "--config", str(place / "config.toml")]
    argv += ["--run-as", "root"] if os.geteuid() == 0 else []
    start = time.perf_counter()
    process = subprocess.Popen(argv, env=session.env_for(loop), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    stack.callback(end, process)
    assert process.stderr is not None
    said = LineReader(process.stderr.fileno(), "gproc serve").until("listening on", 60)
    seconds = time.perf_counter() - start
    with (place / "log").open("wb") as log:
        stack.callback(end, subprocess.Popen(["cat"], stdin=process.stderr, stdout=log))
    addr = f"localhost:{said.rpartition(':')[2].strip()}"
    return GprocServer(process, addr, state, seconds, _client_env(session, loop, addr))


def start_client(
    session: Session, stack: ExitStack, server: GprocServer, loop: Loop = Loop.ASYNCIO, module: str = "gproc_client"
) -> Driver:
    """Start a process with `gproc.Client`, connected to *server*."""
    pki = session.pki
    arguments = (server.addr, str(pki.ca), str(pki.client_cert), str(pki.client_key))
    return session.driver(stack, module, *arguments, loop=loop)


def _identity(session: Session) -> Sequence[str]:
    pki = session.pki
    return ("--cacert", str(pki.ca), "--cert", str(pki.server_cert), "--key", str(pki.server_key))


def _client_env(session: Session, loop: Loop, addr: str) -> dict[str, str]:
    pki = session.pki
    names = {"ADDR": addr, "CACERT": str(pki.ca), "CERT": str(pki.client_cert), "KEY": str(pki.client_key)}
    return {**session.env_for(loop), **{f"GPROC_{name}": value for name, value in names.items()}}
