"""History: a server with very many finished jobs, how soon it is up and how soon it lists them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from gproc_bench.processes import CallFailed
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, Series, Standings, bounded
from gproc_bench.session import Session
from gproc_bench.subject import start_client, start_server
from gproc_bench.units import Unit

BLOCK = 500
Samples = dict[int, list[float]]


@measure("history", "server start and first page of `list` with many finished jobs")
def history(session: Session) -> Iterator[Row]:
    """Fill one state directory with real jobs, and restart the server on it at three sizes; 2 s and 50 ms at most."""
    sizes = session.choose(full=(100, 1000, 10_000), quick=(100, 1000))
    state = session.directory("history") / "state"
    starts: Samples = defaultdict(list)
    pages: Samples = defaultdict(list)
    for before, size in zip((0, *sizes), sizes, strict=False):
        _fill(session, state, size - before)
        for _ in range(session.rounds(full=5, quick=3)):
            _restart(session, state, size, starts, pages)
    for label, samples, bound in (("start", starts, 2.0), ("list", pages, 0.050)):
        question = Question(
            measure="history", label=label, unit=Unit.TIME, say_size="{:,.0f} jobs".format, deciding_size=sizes[-1]
        )
        yield from bounded(question, Standings({"gproc": Series(samples)}), "gproc", bound)


def _fill(session: Session, state: Path, count: int) -> None:
    with ExitStack() as stack:
        client = start_client(session, stack, start_server(session, stack, state_dir=state))
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            seconds = client.ask("jobs", count=size, in_flight=32)["seconds"]
            session.trace("fill", size, [seconds])


def _restart(session: Session, state: Path, size: int, starts: Samples, pages: Samples) -> None:
    with ExitStack() as stack:
        server = start_server(session, stack, state_dir=state)
        starts[size].append(server.start_seconds)
        session.trace("start", size, [server.start_seconds])
        client = start_client(session, stack, server)
        pages[size] += client.ask("first_page", count=5)["seconds"]
        session.trace("first page", size, pages[size][-5:])
        total = client.ask("total")["total"]
        if total != size:
            raise CallFailed(f"{total} jobs are listed, and {size} were run")
