"""Lines: very many small writes, each of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from gproc_bench.contest import contest
from gproc_bench.measures._streams import followed, ssh_stream
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import HERE, Session
from gproc_bench.stats import at_least
from gproc_bench.subject import gproc_names
from gproc_bench.units import Unit

PROGRAM = HERE / "drivers" / "flushed.py"


@measure("lines", "lines of 20 bytes, each flushed")
def lines(session: Session) -> Iterator[Row]:
    """Compare with `ssh` running the same program over an open connection."""
    sizes = session.choose(full=(10_000, 100_000, 1_000_000), quick=(10_000, 100_000))

    def program(count: int) -> tuple[list[str], int, str]:
        return [sys.executable, "-I", "-S", str(PROGRAM), str(count)], 20 * count, ""

    field = [*(followed(loop, program) for loop in session.options.loops), ssh_stream(program)]
    standings = contest(session, field, sizes, session.rounds(full=5, quick=3))
    question = Question(measure="lines", unit=Unit.RATE, say_size="{:,.0f} lines".format, deciding_size=sizes[-1])
    yield from compared(question, standings, gproc_names(session), {"ssh": at_least(1)})
