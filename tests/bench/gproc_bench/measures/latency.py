"""Latency: from a write in the job to the byte in the client's hands."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.delays import Delays
from gproc_bench.measures._streams import connected
from gproc_bench.peers.ssh import ssh_host
from gproc_bench.processes import CallFailed, end
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import HERE, Loop, Session
from gproc_bench.stats import at_most, quantile
from gproc_bench.subject import gproc_name, gproc_names
from gproc_bench.units import Unit, bytes_text

__all__ = ["SSH", "complete", "stamps"]

PAUSE_MS = 5
PROGRAM = HERE / "drivers" / "stamps.py"


@measure("latency", "write in the job to byte at the client, p50 and p99")
def latency(session: Session) -> Iterator[Row]:
    """Compare with `ssh` running the same program over an open connection, for lines of three lengths."""
    sizes = (32, 1024, 16384)
    field = [*map(_gproc, session.options.loops), SSH]
    standings = contest(session, field, sizes, session.rounds(full=5, quick=3))
    for share in (0.50, 0.99):
        question = Question(
            measure="latency",
            label=f"p{share * 100:.0f}",
            unit=Unit.TIME,
            say_size=bytes_text,
            deciding_size=sizes[0],
            statistic=partial(quantile, share=share),
        )
        yield from compared(question, standings, gproc_names(session), {"ssh": at_most(1)})


def stamps(session: Session, turn: Turn) -> tuple[list[str], int]:
    """Return the command of a job that writes stamped lines, and how many."""
    count = 20 if turn.is_warm_up else session.choose(full=300, quick=100)
    return [sys.executable, "-I", "-S", str(PROGRAM), str(count), str(PAUSE_MS), str(turn.size)], count


def complete(seconds: Sequence[float], count: int) -> Sequence[float]:
    """Return the delays; raises `CallFailed` if a line is missing."""
    if len(seconds) != count:
        raise CallFailed(f"{len(seconds)} lines arrived instead of {count}")
    return seconds


def _gproc(loop: Loop) -> Contender:
    def open_(session: Session, stack: ExitStack) -> Sampler:
        client = connected(session, stack, loop)

        def sample(turn: Turn) -> Sequence[float]:
            (command, *args), count = stamps(session, turn)
            return complete(client.ask("delays", command=command, args=args)["seconds"], count)

        return sample

    return Contender(gproc_name(loop), open_)


def _ssh(session: Session, stack: ExitStack) -> Sampler:
    host = ssh_host(session, stack)
    host.open_connection(stack)

    def sample(turn: Turn) -> Sequence[float]:
        command, count = stamps(session, turn)
        return complete(_delays(host.reused(shlex.join(command))), count)

    return sample


def _delays(argv: Sequence[str]) -> Sequence[float]:
    delays = Delays()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        while piece := os.read(process.stdout.fileno(), 65536):
            delays.add(piece, time.monotonic_ns())
    finally:
        end(process)
    return delays.seconds


SSH = Contender("ssh", _ssh)
