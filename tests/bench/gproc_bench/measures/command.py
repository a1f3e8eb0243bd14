"""Command: a whole `gproc run true`, from its first instruction to its exit code."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.peers.ssh import ssh_host
from gproc_bench.processes import CallFailed
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import Loop, Session
from gproc_bench.stats import at_most
from gproc_bench.subject import gproc_name, gproc_names, start_server
from gproc_bench.units import Unit


@measure("command", "`gproc run true`, whole process, new connection")
def command(session: Session) -> Iterator[Row]:
    """Compare with `ssh host true`, one command alone and several at the same time."""
    sizes = (1, 2, 4)
    field = [*map(_gproc, session.options.loops), Contender("ssh", _ssh)]
    standings = contest(session, field, sizes, session.rounds(full=11, quick=5))
    question = Question(measure="command", unit=Unit.TIME, say_size="{:.0f} at a time".format, deciding_size=1)
    yield from compared(question, standings, gproc_names(session), {"ssh": at_most(0.8)})


def _gproc(loop: Loop) -> Contender:
    def open_(session: Session, stack: ExitStack) -> Sampler:
        server = start_server(session, stack, loop)
        return _together(server.command("run", "true"), server.env)

    return Contender(gproc_name(loop), open_)


def _ssh(session: Session, stack: ExitStack) -> Sampler:
    return _together(ssh_host(session, stack).fresh("true"), session.env)


def _together(argv: Sequence[str], env: Mapping[str, str]) -> Sampler:
    def sample(turn: Turn) -> Sequence[float]:
        start = time.perf_counter()
        processes = [
            subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for _ in range(turn.size)
        ]
        codes = [process.wait(60) for process in processes]
        seconds = time.perf_counter() - start
        if any(codes):
            raise CallFailed(f"{' '.join(argv)}: exit codes {codes}")
        return [seconds]

    return sample
