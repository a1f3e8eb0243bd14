"""Floors: what the least Python programs can do, where a bound for Gproc asks for more.

Nothing here runs Gproc. Each program does what one measure cannot do without, and nothing else, so what it takes is a
floor for programs in Python that divide the work in this way. Beside it stands the peer that the bound is set against.
The peer and the floor both want all processors: on a machine that does something else as well, look at several runs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.delays import Delays
from gproc_bench.drivers.counting import Arrivals
from gproc_bench.drivers.tls import PIECE
from gproc_bench.measures._streams import Work, ssh_stream
from gproc_bench.measures.jobs import ASYNCSSH, asked
from gproc_bench.measures.latency import SSH, complete, stamps
from gproc_bench.measures.live import zeros
from gproc_bench.measures.replay import cat
from gproc_bench.measures.shim_memory import CONMON, mean_pss
from gproc_bench.peers.fetchers import BARE_LOOP, python_pair
from gproc_bench.peers.relay import relayed
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, bounded, compared
from gproc_bench.session import Session
from gproc_bench.transfer import seconds_of
from gproc_bench.units import KIB, MIB, Unit, bytes_text

Command = Callable[[int], Sequence[str]]


@measure("floors", "the least Python programs, where a bound is missed")
def floors(session: Session) -> Iterator[Row]:
    """Show one after the other; nothing is judged."""
    yield from _latency(session)
    yield from _calls(session)
    yield from _replay(session)
    yield from _live(session)
    yield from _memory(session)
    yield from _write(session)


def _latency(session: Session) -> Iterator[Row]:
    width = 32
    field = [Contender("three loops", _relayed_lines), SSH]
    standings = contest(session, field, [width], session.rounds(full=3, quick=3))
    question = _question("latency p50", Unit.TIME, bytes_text, width)
    yield from compared(question, standings, ["three loops"], {"ssh": None})


def _calls(session: Session) -> Iterator[Row]:
    sizes = session.choose(full=(64, 512), quick=(64, 128))
    field = [Contender("grpclib", lambda session, stack: asked(python_pair(session, stack, "grpclib"))), ASYNCSSH]
    standings = contest(session, field, sizes, session.rounds(full=7, quick=3))
    question = _question("calls", Unit.RATE, "{:,.0f} jobs, 2 calls each".format, sizes[-1])
    yield from compared(question, standings, ["grpclib"], {"asyncssh": None})


def _replay(session: Session) -> Iterator[Row]:
    sizes = session.choose(full=(64 * MIB, 512 * MIB), quick=(16 * MIB, 64 * MIB))
    field = [BARE_LOOP, ssh_stream(partial(cat, session))]
    standings = contest(session, field, sizes, session.rounds(full=15, quick=3))
    question = _question("replay", Unit.THROUGHPUT, bytes_text, sizes[-1])
    yield from compared(question, standings, [BARE_LOOP.name], {"ssh": None})


def _live(session: Session) -> Iterator[Row]:
    sizes = session.choose(full=(64 * MIB, 512 * MIB), quick=(16 * MIB, 64 * MIB))
    work = zeros(sizes[0])
    field = [Contender("three loops", partial(_relayed_stream, work=work)), ssh_stream(work)]
    standings = contest(session, field, sizes, session.rounds(full=11, quick=3))
    question = _question("live", Unit.THROUGHPUT, bytes_text, sizes[-1])
    yield from compared(question, standings, ["three loops"], {"ssh": None})


def _memory(session: Session) -> Iterator[Row]:
    sizes = session.choose(full=(1, 100), quick=(1, 10))
    shims = ["fork and spawn", "plain shim"]
    field = [*(Contender(shim, partial(_forked, shim=shim)) for shim in shims), CONMON]
    standings = contest(session, field, sizes, session.rounds(full=1, quick=1))
    question = _question("memory", Unit.MEMORY, "{:.0f} jobs".format, sizes[-1])
    yield from compared(question, standings, shims, {"conmon": None})


def _write(session: Session) -> Iterator[Row]:
    """Write a file twice: `head` writes 4 KiB at a time, whoever reads a pipe can write more at once."""
    sizes = session.choose(full=(64 * MIB, 512 * MIB), quick=(16 * MIB, 64 * MIB))
    commands: dict[str, Command] = {
        "head": lambda size: ["head", "-c", str(size), "/dev/zero"],
        "256 KiB pieces": lambda size: ["dd", "if=/dev/zero", "bs=256K", f"count={size // (256 * KIB)}", "status=none"],
    }
    field = [Contender(name, partial(_written, command=command)) for name, command in commands.items()]
    standings = contest(session, field, sizes, session.rounds(full=5, quick=3))
    for name in commands:
        yield from bounded(_question("write", Unit.THROUGHPUT, bytes_text, sizes[-1]), standings, name, None)


def _question(label: str, unit: Unit, say_size: Callable[[float], str], deciding_size: int) -> Question:
    return Question(measure="floor", label=label, unit=unit, say_size=say_size, deciding_size=deciding_size)


def _relayed_lines(session: Session, stack: ExitStack) -> Sampler:
    def sample(turn: Turn) -> Sequence[float]:
        command, expected = stamps(session, turn)
        delays, place = Delays(), memoryview(bytearray(PIECE))
        with relayed(session, command) as connection:
            while count := connection.receive_into(place):
                delays.add(place[:count], time.monotonic_ns())
        return complete(delays.seconds, expected)

    return sample


def _relayed_stream(session: Session, stack: ExitStack, work: Work) -> Sampler:
    def sample(turn: Turn) -> Sequence[float]:
        command, size, sha256 = work(turn.size)
        place = memoryview(bytearray(PIECE))
        with relayed(session, command) as connection:
            arrivals = Arrivals(hashed=turn.is_warm_up)
            while count := connection.receive_into(place):
                arrivals.add(place[:count])
        return seconds_of(arrivals.result(), size=size, sha256=sha256)

    return sample


def _forked(session: Session, stack: ExitStack, shim: str) -> Sampler:
    parent = session.driver(stack, "forks")

    def sample(turn: Turn) -> Sequence[float]:
        try:
            place = str(session.directory("shims"))
            return mean_pss(parent.ask("hold", count=turn.size, shim=shim, place=place)["pids"], not_these=set())
        finally:
            parent.ask("release")

    return sample


def _written(session: Session, stack: ExitStack, command: Command) -> Sampler:
    path = session.directory("write") / "zeros"

    def sample(turn: Turn) -> Sequence[float]:
        start = time.perf_counter()
        with path.open("wb") as file:
            subprocess.run(command(turn.size), stdout=file, check=True, timeout=300)
        seconds = time.perf_counter() - start
        written = path.stat().st_size
        path.unlink()
        return seconds_of({"seconds": seconds, "bytes": written}, size=turn.size)

    return sample
