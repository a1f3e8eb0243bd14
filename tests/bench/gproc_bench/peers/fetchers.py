"""Peers that have a file sent by a server process to a client process: raw TLS, a bare loop, grpcio, grpc-go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from gproc_bench.contest import Contender, Sampler, Turn
from gproc_bench.processes import CallFailed, Driver, LineReader, end
from gproc_bench.session import HERE, Missing, Session, tool
from gproc_bench.transfer import seconds_of

__all__ = ["BARE_LOOP", "GRPCIO", "GRPC_GO", "RAW_TLS", "python_pair"]


def _raw_tls(session: Session, stack: ExitStack) -> Sampler:
    return _fetcher(session, python_pair(session, stack, "rawtls"))


def _bare_loop(session: Session, stack: ExitStack) -> Sampler:
    return _fetcher(session, python_pair(session, stack, "bareloop"))


def _grpcio(session: Session, stack: ExitStack) -> Sampler:
    if find_spec("grpc") is None:
        raise Missing("grpcio is not installed (dependency group `bench`)")
    return _fetcher(session, python_pair(session, stack, "grpcio"))


def _grpc_go(session: Session, stack: ExitStack) -> Sampler:
    program = str(_built(session))
    pki = session.pki
    port = _serve(session, stack, [program, "serve", str(pki.ca), str(pki.server_cert), str(pki.server_key)])
    argv = [program, "fetch", port, str(pki.ca), str(pki.client_cert), str(pki.client_key)]
    return _fetcher(session, Driver(stack, "grpc-go client", argv, session.env))


def python_pair(session: Session, stack: ExitStack, name: str) -> Driver:
    """Start the server and the client of that name; return the client."""
    pki = session.pki
    argv = [sys.executable, "-m", f"gproc_bench.drivers.{name}_server"]
    port = _serve(session, stack, [*argv, str(pki.ca), str(pki.server_cert), str(pki.server_key)])
    return session.driver(stack, f"{name}_client", port, str(pki.ca), str(pki.client_cert), str(pki.client_key))


def _serve(session: Session, stack: ExitStack, argv: Sequence[str]) -> str:
    process = subprocess.Popen(argv, env=session.env, stdout=subprocess.PIPE)
    stack.callback(end, process, 2.0)
    assert process.stdout is not None
    return LineReader(process.stdout.fileno(), f"server {argv[-4]}").until("port", 20).split()[1]


def _fetcher(session: Session, client: Driver) -> Sampler:
    def sample(turn: Turn) -> Sequence[float]:
        payload = session.payload(turn.size)
        answer = client.ask("fetch", path=str(payload.path), size=payload.size, hashed=turn.is_warm_up)
        return seconds_of(answer, size=payload.size, sha256=payload.sha256)

    return sample


def _built(session: Session) -> Path:
    """Return the Go program, built from its source into this run's directory."""
    go = tool("go", "the Go toolchain")
    place = session.directory("grpcgo")
    shutil.copytree(HERE / "peers" / "grpcgo", place, dirs_exist_ok=True)
    built = subprocess.run(
        [go, "build", "-o", "grpcgo", "."],
        cwd=place,
        env={"GOFLAGS": "-mod=readonly", **os.environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if built.returncode:
        raise CallFailed(f"grpc-go: cannot be built: {built.stderr.strip()[-500:]}")
    return place / "grpcgo"


RAW_TLS = Contender("raw TLS", _raw_tls)
BARE_LOOP = Contender("bare loop", _bare_loop)
GRPCIO = Contender("grpcio", _grpcio)
GRPC_GO = Contender("grpc-go", _grpc_go)
