"""Shim memory: what one idle running job costs beside itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.peers.conmon import start_conmons
from gproc_bench.processes import CallFailed, memory, parent_of
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import Session, tool
from gproc_bench.stats import at_most
from gproc_bench.subject import start_client, start_server
from gproc_bench.units import Unit

__all__ = ["CONMON", "mean_pss"]

IDLE_SECONDS = 1.0
"""Time for a process that has just started to become idle."""


@measure("shim-memory", "PSS of the keeper of one idle job")
def shim_memory(session: Session) -> Iterator[Row]:
    """Compare with conmon: the mean of all keepers, at 1, 10 and 100 jobs."""
    sizes = session.choose(full=(1, 10, 100), quick=(1, 10))
    field = [Contender("gproc", _gproc), CONMON]
    standings = contest(session, field, sizes, session.rounds(full=3, quick=1))
    question = Question(measure="shim-memory", unit=Unit.MEMORY, say_size="{:.0f} jobs".format, deciding_size=sizes[-1])
    yield from compared(question, standings, ["gproc"], {"conmon": at_most(1.5)})


def _gproc(session: Session, stack: ExitStack) -> Sampler:
    server = start_server(session, stack)
    client = start_client(session, stack, server)

    def sample(turn: Turn) -> Sequence[float]:
        pids = client.ask("hold", count=turn.size)["pids"]
        try:
            return mean_pss([parent_of(pid) for pid in pids], not_these={server.pid})
        finally:
            client.ask("release")

    return sample


def _conmon(session: Session, stack: ExitStack) -> Sampler:
    tool("conmon", "Debian: conmon")

    def sample(turn: Turn) -> Sequence[float]:
        with ExitStack() as keepers:
            return mean_pss(start_conmons(session, keepers, turn.size), not_these=set())

    return sample


def mean_pss(pids: Sequence[int], not_these: set[int]) -> Sequence[float]:
    """Return the mean proportional set size of idle processes; raises `CallFailed` unless each is one of its own."""
    if len(set(pids) - not_these) != len(pids):
        raise CallFailed(f"not one keeper for each job: {pids}")
    time.sleep(IDLE_SECONDS)
    return [sum(memory(pid, "Pss") for pid in pids) / len(pids)]


CONMON = Contender("conmon", _conmon)
