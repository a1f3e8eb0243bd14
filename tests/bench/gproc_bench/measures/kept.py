"""Kept: the tail of a very large output."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from gproc_bench.processes import CallFailed, Driver, memory
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, Series, Standings, bounded
from gproc_bench.session import Missing, Session
from gproc_bench.subject import GprocServer, start_client, start_server
from gproc_bench.turns import in_turn
from gproc_bench.units import GIB, MIB, Unit, bytes_text

LINES = 10
Samples = dict[int, list[float]]


@measure("kept", "`output --tail 10` and memory of the server with very much output kept")
def kept(session: Session) -> Iterator[Row]:
    """Take the tail beside that of an empty job: at most 50 ms more; and the server grows by less than 10 MiB."""
    sizes = session.choose(full=(64 * MIB, GIB, 10 * GIB), quick=(16 * MIB, 256 * MIB, GIB))
    if shutil.disk_usage(session.root).free < 1.5 * sizes[-1]:
        raise Missing(f"{session.root}: not enough free disk for {bytes_text(sizes[-1])} of output")
    delays: Samples = defaultdict(list)
    growths: Samples = defaultdict(list)
    for size in sizes:
        with ExitStack() as stack:
            _measure(session, stack, size, delays, growths)
    figures = (("tail", delays, Unit.TIME, 0.050), ("memory", growths, Unit.MEMORY, 10.0 * MIB))
    for label, samples, unit, bound in figures:
        question = Question(measure="kept", label=label, unit=unit, say_size=bytes_text, deciding_size=sizes[-1])
        yield from bounded(question, Standings({"gproc": Series(samples)}), "gproc", bound)


def _measure(session: Session, stack: ExitStack, size: int, delays: Samples, growths: Samples) -> None:
    server = start_server(session, stack)
    client = start_client(session, stack, server)
    empty = client.ask("make", command="true", args=[])["id"]
    _tail(server, empty)
    before = memory(server.pid, "Rss")
    large = _written(client, size, server.state_dir)
    _consecutive(_tail(server, large)[1])
    for turn in range(session.rounds(full=7, quick=5)):
        took = {job: _tail(server, job)[0] for job in in_turn([empty, large], turn)}
        delays[size].append(took[large] - took[empty])
        session.trace("tail", size, [took[large], took[empty]])
    growths[size].append(memory(server.pid, "Rss") - before)
    client.ask("remove", job=large)


def _written(client: Driver, size: int, state_dir: Path) -> str:
    """Have a job write *size* bytes of numbered lines, and see that they are kept, on disk and not as holes."""
    job = client.ask("make", command="sh", args=["-c", f"seq 1 99999999999 | head -c {size}"], limit=600)
    if job["output_bytes"] != size or job["dropped_bytes"]:
        raise CallFailed(f"{job['output_bytes']} of {size} bytes were written, {job['dropped_bytes']} not kept")
    on_disk = sum(path.stat().st_blocks * 512 for path in state_dir.rglob("*") if path.is_file())
    if on_disk < size:
        raise CallFailed(f"{size} bytes were written, and only {on_disk} are on disk")
    return str(job["id"])


def _tail(server: GprocServer, job: str) -> tuple[float, bytes]:
    argv = server.command("output", job, "--no-follow", "--tail", str(LINES))
    start = time.perf_counter()
    said = subprocess.run(argv, env=server.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    seconds = time.perf_counter() - start
    if said.returncode:
        raise CallFailed(
            f"{' '.join(argv)}: exit code {said.returncode}: {said.stderr.decode(errors='replace')[-300:]}"
        )
    return seconds, said.stdout


def _consecutive(tail: bytes) -> None:
    lines: Sequence[bytes] = tail.splitlines()
    numbers = [int(line) for line in lines[:-1]]  # the last one is cut by `head`
    if len(lines) != LINES or numbers != list(range(numbers[0], numbers[0] + LINES - 1)):
        raise CallFailed(f"these are not the last {LINES} lines: {tail!r}")
