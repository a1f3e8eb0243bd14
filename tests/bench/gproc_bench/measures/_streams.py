"""What the streaming measures share: Gproc or ssh runs a command, and all its output is taken."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from gproc_bench.contest import Contender, Sampler, Turn
from gproc_bench.peers.ssh import ssh_host
from gproc_bench.processes import Driver
from gproc_bench.session import Loop, Session
from gproc_bench.subject import gproc_name, start_client, start_server
from gproc_bench.transfer import seconds_of

__all__ = ["Work", "connected", "followed", "ssh_stream"]

Work = Callable[[int], "tuple[list[str], int, str]"]
"""From a size: the command line, how many bytes it writes, and their hash ("" if nobody knows it)."""


def connected(session: Session, stack: ExitStack, loop: Loop) -> Driver:
    """Start a server and a client on *loop*; say so if the server does not run on what was asked for."""
    server = start_server(session, stack, loop)
    if server.uses_uvloop is not (loop is Loop.UVLOOP):
        session.remark(f"{gproc_name(loop)}: the server itself runs on {'uvloop' if server.uses_uvloop else 'asyncio'}")
    return start_client(session, stack, server, loop)


def followed(loop: Loop, work: Work) -> Contender:
    """Gproc: start the command on an open connection and take its output live, until its end."""

    def open_(session: Session, stack: ExitStack) -> Sampler:
        client = connected(session, stack, loop)

        def sample(turn: Turn) -> Sequence[float]:
            (command, *args), size, sha256 = work(turn.size)
            answer = client.ask("live", command=command, args=args, hashed=turn.is_warm_up)
            return seconds_of(answer, size=size, sha256=sha256)

        return sample

    return Contender(gproc_name(loop), open_)


def ssh_stream(work: Work) -> Contender:
    """OpenSSH: run the command over an open connection (ControlMaster) and take its output."""

    def open_(session: Session, stack: ExitStack) -> Sampler:
        host = ssh_host(session, stack)
        host.open_connection(stack)

        def sample(turn: Turn) -> Sequence[float]:
            command, size, sha256 = work(turn.size)
            answer = host.receive(shlex.join(command), hashed=turn.is_warm_up)
            return seconds_of(answer, size=size, sha256=sha256)

        return sample

    return Contender("ssh", open_)
