"""First byte: a new job on an open connection, until the first byte it writes is here."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.measures._streams import connected
from gproc_bench.peers.ssh import ssh_host
from gproc_bench.processes import CallFailed, end
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import Loop, Session
from gproc_bench.stats import at_most
from gproc_bench.subject import gproc_name, gproc_names
from gproc_bench.units import Unit

EACH = 8
"""Jobs in one turn, for each that is in flight."""


@measure("first-byte", "Start on an open connection to the first output byte, p50")
def first_byte(session: Session) -> Iterator[Row]:
    """Compare with `ssh` over a ControlMaster connection, one at a time and several in flight."""
    sizes = (1, 4, 16)
    field = [*map(_gproc, session.options.loops), Contender("ssh", _ssh)]
    standings = contest(session, field, sizes, session.rounds(full=7, quick=3))
    question = Question(measure="first-byte", unit=Unit.TIME, say_size="{:.0f} in flight".format, deciding_size=1)
    yield from compared(question, standings, gproc_names(session), {"ssh": at_most(1)})


def _gproc(loop: Loop) -> Contender:
    def open_(session: Session, stack: ExitStack) -> Sampler:
        client = connected(session, stack, loop)

        def sample(turn: Turn) -> Sequence[float]:
            seconds: list[float] = client.ask("first_byte", count=EACH * turn.size, in_flight=turn.size)["seconds"]
            if len(seconds) != EACH * turn.size:
                raise CallFailed(f"{len(seconds)} of {EACH * turn.size} jobs wrote something")
            return seconds

        return sample

    return Contender(gproc_name(loop), open_)


def _ssh(session: Session, stack: ExitStack) -> Sampler:
    host = ssh_host(session, stack)
    host.open_connection(stack)

    def sample(turn: Turn) -> Sequence[float]:
        with ThreadPoolExecutor(turn.size) as pool:
            return list(pool.map(_until_first_byte, [host.reused("echo here")] * (EACH * turn.size)))

    return sample


def _until_first_byte(argv: Sequence[str]) -> float:
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not os.read(process.stdout.fileno(), 1):
            raise CallFailed(f"{' '.join(argv)}: wrote nothing")
        seconds = time.perf_counter() - start
        process.wait(20)
        return seconds
    finally:
        end(process)
