"""One run of the bench: its options, its temporary directory, its certificates, its test data."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import trustme

from gproc_bench.processes import Driver, adopt_orphans, end_all
from gproc_bench.units import MIB, bytes_text

__all__ = ["HERE", "Loop", "Missing", "Options", "Payload", "Pki", "Session", "session"]

HERE = Path(__file__).resolve().parent
MARK = "GPROC_BENCH_RUN"
T = TypeVar("T")


class Missing(Exception):
    """A peer or a tool cannot take part; the message says which, and how to have it."""


class Loop(Enum):
    """Which event loop Gproc's processes run on."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller asked for."""

    quick: bool = False
    loops: Sequence[Loop] = (Loop.ASYNCIO,)
    rounds: int | None = None
    own_home: bool = False
    """Whether ssh sessions have the user's real home, and so whatever the shell's start-up files there do."""
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Payload:
    """Random bytes in a file, and what they hash to."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pki:
    """Certificates for both sides; every peer with TLS uses the same ones."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


@dataclass
class Session:
    """What all measures of one run share."""

    options: Options
    root: Path
    mark: str
    remarks: list[str] = field(default_factory=list)
    """What the reader of the table has to know, each once."""
    _payloads: dict[int, Payload] = field(default_factory=dict)

    def choose(self, *, full: T, quick: T) -> T:
        """Return one of two values, by what the caller asked for."""
        return quick if self.options.quick else full

    def rounds(self, *, full: int, quick: int) -> int:
        """Return how often to measure, unless the caller said it."""
        return self.options.rounds or self.choose(full=full, quick=quick)

    def directory(self, name: str) -> Path:
        """Return a new directory that only we can read."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))

    @cached_property
    def env(self) -> dict[str, str]:
        """The environment of all child processes: ours, and a mark by which they are found at the end."""
        return {**os.environ, MARK: self.mark, "PYTHONPATH": str(HERE.parent)}

    def env_for(self, loop: Loop) -> dict[str, str]:
        """Return the environment in which Gproc runs on *loop*: uvloop is used wherever it is found."""
        if loop is Loop.UVLOOP:
            return self.env
        return {**self.env, "PYTHONPATH": f"{self._without_uvloop}{os.pathsep}{HERE.parent}"}

    @cached_property
    def _without_uvloop(self) -> Path:
        directory = self.directory("no-uvloop")
        (directory / "uvloop.py").write_text('raise ImportError("hidden for this run, to measure asyncio")\n')
        return directory

    def driver(self, stack: ExitStack, module: str, *arguments: str, loop: Loop = Loop.ASYNCIO) -> Driver:
        """Start one of `gproc_bench.drivers` in a process of its own."""
        argv = [sys.executable, "-m", f"gproc_bench.drivers.{module}", *arguments]
        return Driver(stack, module, argv, self.env_for(loop))

    def payload(self, size: int) -> Payload:
        """Return a file of *size* random bytes, made once a run."""
        if size not in self._payloads:
            self._payloads[size] = _write_payload(self.root / f"payload-{size}", size)
        return self._payloads[size]

    @cached_property
    def pki(self) -> Pki:
        """Certificates of an authority that lives as long as this run."""
        return _issue(self.directory("pki"))

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        sys.stderr.write(f"bench: {text}\n")
        sys.stderr.flush()

    def remark(self, text: str) -> None:
        """Say it below the table, too."""
        if text not in self.remarks:
            self.say(text)
            self.remarks.append(text)

    def trace(self, name: str, size: int, costs: Sequence[float]) -> None:
        """Tell the patient person each sample."""
        if self.options.verbose:
            shown = " ".join(f"{cost:.4g}" for cost in costs[:8]) + (" …" if len(costs) > 8 else "")
            self.say(f"  {name:24} {size:>12}  {shown}")


@contextmanager
def session(options: Options) -> Iterator[Session]:
    """Yield a session; afterwards its processes are ended and its files are gone."""
    root = Path(tempfile.mkdtemp(prefix="gproc-bench-"))
    mark = secrets.token_hex(8)
    adopt_orphans()
    try:
        yield Session(options, root, mark)
    finally:
        end_all(f"{MARK}={mark}")
        shutil.rmtree(root, ignore_errors=True)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tool(name: str, package: str) -> str:
    """Return the path of a program, also from the system's own directories; raises `Missing`."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/go/bin")
    if found is None:
        raise Missing(f"{name} is not installed ({package})")
    return found


def _write_payload(path: Path, size: int) -> Payload:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            block = os.urandom(min(MIB, size - start))
            digest.update(block)
            file.write(block)
    if path.stat().st_size != size:
        raise OSError(f"{path}: could not write {bytes_text(size)}; is the disk full?")
    return Payload(path, size, digest.hexdigest())


def _issue(directory: Path) -> Pki:
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1", common_name="localhost")
    client = authority.issue_cert("alice@bench.invalid", common_name="alice")
    return Pki(
        ca=_private(directory / "ca.crt", authority.cert_pem.bytes()),
        server_cert=_private(directory / "server.crt", b"".join(blob.bytes() for blob in server.cert_chain_pems)),
        server_key=_private(directory / "server.key", server.private_key_pem.bytes()),
        client_cert=_private(directory / "alice.crt", b"".join(blob.bytes() for blob in client.cert_chain_pems)),
        client_key=_private(directory / "alice.key", client.private_key_pem.bytes()),
    )


def _private(path: Path, content: bytes) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path
