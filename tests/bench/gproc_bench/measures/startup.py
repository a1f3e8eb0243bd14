"""Start-up: the processor time that a short command takes on the client's side."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.processes import CallFailed, cpu_seconds_of
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, bounded, compared
from gproc_bench.session import Loop, Session
from gproc_bench.subject import gproc_program, start_client, start_server
from gproc_bench.units import Unit


@measure("startup", "CPU time of `gproc --help` and `gproc status`")
def startup(session: Session) -> Iterator[Row]:
    """Take 60 ms at most for the help; the status, and both beside an empty Python, are for information."""
    field = [Contender("--help", _help), Contender("status", _status), Contender("python", _python)]
    standings = contest(session, field, [1], session.rounds(full=15, quick=7))
    question = Question(measure="startup", label="CPU", unit=Unit.TIME, say_size=lambda _: "", deciding_size=1)
    yield from bounded(question, standings, "--help", 0.060)
    yield from bounded(question, standings, "status", None)
    yield from compared(question, standings, ["--help", "status"], {"python": None})


def _help(session: Session, stack: ExitStack) -> Sampler:
    return _timed([gproc_program(), "--help"], session.env_for(Loop.ASYNCIO))


def _status(session: Session, stack: ExitStack) -> Sampler:
    server = start_server(session, stack)
    job = start_client(session, stack, server).ask("make", command="true", args=[])
    return _timed(server.command("status", str(job["id"])), server.env)


def _python(session: Session, stack: ExitStack) -> Sampler:
    return _timed([sys.executable, "-c", "pass"], session.env_for(Loop.ASYNCIO))


def _timed(argv: Sequence[str], env: Mapping[str, str]) -> Sampler:
    def sample(turn: Turn) -> Sequence[float]:
        code, seconds = cpu_seconds_of(argv, env)
        if code:
            raise CallFailed(f"{' '.join(argv)}: exit code {code}")
        return [seconds]

    return sample
