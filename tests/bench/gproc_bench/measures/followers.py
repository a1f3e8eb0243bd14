"""Followers: what the server needs for very many readers of one job, half of whom do not read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.processes import forget_peak, memory, peak_memory
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, bounded
from gproc_bench.session import Session
from gproc_bench.subject import start_client, start_server
from gproc_bench.units import MIB, Unit


@measure("followers", "peak memory of the server with many followers, half of them stalled, on 10 connections")
def followers(session: Session) -> Iterator[Row]:
    """Take the peak while all of them follow, less what the server had before; at most 100 MiB."""
    sizes = session.choose(full=(10, 100, 1000), quick=(10, 100))
    standings = contest(session, [Contender("gproc", _gproc)], sizes, session.rounds(full=1, quick=1))
    question = Question(measure="followers", unit=Unit.MEMORY, say_size="{:,.0f}".format, deciding_size=sizes[-1])
    yield from bounded(question, standings, "gproc", 100 * MIB)


def _gproc(session: Session, stack: ExitStack) -> Sampler:
    def sample(turn: Turn) -> Sequence[float]:
        payload = session.payload(session.choose(full=8, quick=4) * MIB)
        go = str(session.directory("go") / "now")
        with ExitStack() as inner:
            server = start_server(session, inner)
            crowd = start_client(session, inner, server, module="gproc_followers")
            crowd.ask("prepare", go=go, path=str(payload.path))
            forget_peak(server.pid)
            before = memory(server.pid, "Rss")
            crowd.ask("follow", go=go, size=payload.size, followers=turn.size)
            return [peak_memory(server.pid) - before]

    return sample
