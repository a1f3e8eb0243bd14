"""Live: a job writes into its pipe as fast as it can, while it is followed."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from gproc_bench.contest import contest
from gproc_bench.measures._streams import Work, followed, ssh_stream
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import Session
from gproc_bench.stats import at_least
from gproc_bench.subject import gproc_names
from gproc_bench.units import MIB, Unit, bytes_text

__all__ = ["zeros"]


@measure("live", "a job's pipe, followed while it writes")
def live(session: Session) -> Iterator[Row]:
    """Compare with `ssh host 'head -c N /dev/zero'` over an open connection."""
    sizes = session.choose(full=(64 * MIB, 256 * MIB, 512 * MIB), quick=(16 * MIB, 64 * MIB))
    work = zeros(sizes[0])
    field = [*(followed(loop, work) for loop in session.options.loops), ssh_stream(work)]
    standings = contest(session, field, sizes, session.rounds(full=11, quick=3))
    question = Question(measure="live", unit=Unit.THROUGHPUT, say_size=bytes_text, deciding_size=sizes[-1])
    yield from compared(question, standings, gproc_names(session), {"ssh": at_least(1.5)})


def zeros(smallest: int) -> Work:
    """Return the job that writes zeros, and what is to arrive; that is hashed in the warm-up only, at *smallest*."""
    expected = sha256(bytes(smallest)).hexdigest()
    return lambda size: (["head", "-c", str(size), "/dev/zero"], size, expected)
