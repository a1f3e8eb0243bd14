"""Replay: all output of a job that has ended, from the server's disk cache to a Python client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.measures._streams import connected, ssh_stream
from gproc_bench.peers.fetchers import GRPC_GO, GRPCIO, RAW_TLS
from gproc_bench.processes import CallFailed, Driver
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import Loop, Session
from gproc_bench.stats import at_least
from gproc_bench.subject import gproc_name, gproc_names
from gproc_bench.transfer import seconds_of
from gproc_bench.units import MIB, Unit, bytes_text

__all__ = ["cat"]

REACHES = {"ssh": at_least(2.5), "grpcio": at_least(1.2), "grpc-go": at_least(1.2), "raw TLS": at_least(0.6)}


@measure("replay", "kept output, server to Python client")
def replay(session: Session) -> Iterator[Row]:
    """Compare with `ssh host cat` over an open connection, two other gRPC implementations, and TLS alone."""
    sizes = session.choose(full=(64 * MIB, 256 * MIB, 512 * MIB), quick=(16 * MIB, 64 * MIB))
    field = [*map(_gproc, session.options.loops), ssh_stream(partial(cat, session)), GRPCIO, GRPC_GO, RAW_TLS]
    standings = contest(session, field, sizes, session.rounds(full=15, quick=3))
    question = Question(measure="replay", unit=Unit.THROUGHPUT, say_size=bytes_text, deciding_size=sizes[-1])
    yield from compared(question, standings, gproc_names(session), REACHES)


def cat(session: Session, size: int) -> tuple[list[str], int, str]:
    """Return the command that writes the payload of *size*, that size, and its hash."""
    payload = session.payload(size)
    return ["cat", str(payload.path)], size, payload.sha256


def _gproc(loop: Loop) -> Contender:
    def open_(session: Session, stack: ExitStack) -> Sampler:
        client = connected(session, stack, loop)
        jobs: dict[int, str] = {}

        def sample(turn: Turn) -> Sequence[float]:
            payload = session.payload(turn.size)
            if turn.size not in jobs:
                jobs[turn.size] = _kept(client, str(payload.path), turn.size)
            answer = client.ask("replay", job=jobs[turn.size], hashed=turn.is_warm_up)
            return seconds_of(answer, size=turn.size, sha256=payload.sha256)

        return sample

    return Contender(gproc_name(loop), open_)


def _kept(client: Driver, path: str, size: int) -> str:
    job = client.ask("make", command="cat", args=[path])
    if job["output_bytes"] != size or job["dropped_bytes"]:
        raise CallFailed(f"the job wrote {job['output_bytes']} of {size} bytes, {job['dropped_bytes']} were not kept")
    return str(job["id"])
