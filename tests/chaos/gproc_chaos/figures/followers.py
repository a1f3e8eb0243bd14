"""Many followers of a flood, half of whom do not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from statistics import median

from gproc.client import Client, Job
from gproc.client.output import Output
from gproc.errors import GprocError
from gproc.testing.faults import ServerProcess
from gproc.testing.faults.pattern import Writer
from gproc_chaos.figure import Check, Stage, at_most, exactly
from gproc_chaos.process import cpu_seconds, peak_bytes, reset_peak
from gproc_chaos.readers import read_as_written

__all__ = ["stalled"]

_MIB = 1 << 20
_PER_CONNECTION = 10
_STALL_SECONDS = 30
_QUIET_SECONDS = 0.2
_TELL_SECONDS = 30
_SLOWEST = 100 * _MIB
"""So many bytes a second all readers together get at least, or the figure is given up."""


async def stalled(stage: Stage) -> Sequence[Check]:
    """Read beside many who stall, and without them; then follow a flood to its last byte beside them."""
    count = stage.pick(5, 50)
    async with ServerProcess(stage.room("server")) as server:
        turns = await _turns(stage, server, count)
        big = await _big(stage, server, count)
    return [*turns, *big]


@dataclass(frozen=True, slots=True)
class _Turn:
    """How long the same readers took for the same bytes, and what they cost the server."""

    wall: float
    cpu: float


async def _turns(stage: Stage, server: ServerProcess, count: int) -> list[Check]:
    """Let readers have short turns without and with stalled ones beside them, as A B B A, and compare neighbours.

    What else the machine does changes from second to second; it meets both halves of a pair alike, or in either order.
    """
    client = server.client("alice")
    read, flood = [
        await _written(client, Writer(total=size, side=stage.directory / name))
        for name, size in (("read", stage.pick(1, 8) * _MIB), ("flood", 64 * _MIB))
    ]
    await _turn(server, read, flood, readers=count, stalled=0)
    reset_peak(server.pid)
    before, pairs = peak_bytes(server.pid), []
    for number in range(stage.pick(2, 20)):
        order = (0, count) if number % 2 == 0 else (count, 0)
        first, second = [await _turn(server, read, flood, readers=count, stalled=beside) for beside in order]
        pairs.append((first, second) if number % 2 == 0 else (second, first))
        stage.say(f"alone {pairs[-1][0]}, beside stalled ones {pairs[-1][1]}")
    grown = (peak_bytes(server.pid) - before) / _MIB
    checks = [at_most(f"growth of the server, {count} readers and {count} stalled ones", grown, 100, " MiB")]
    if stage.full:
        who = f"{count} readers beside {count} stalled ones, {len(pairs)} pairs of turns"
        checks.append(_slower(f"{who}: time on the wall", [(alone.wall, beside.wall) for alone, beside in pairs]))
        checks.append(_slower("the same: processor time of the server", [(one.cpu, two.cpu) for one, two in pairs]))
    return checks


def _slower(what: str, pairs: Sequence[tuple[float, float]]) -> Check:
    """Judge by the middle one of the ratios."""
    ratios = sorted(beside / alone - 1 for alone, beside in pairs)
    quarter = len(ratios) // 4
    low, high = ratios[quarter] * 100, ratios[-1 - quarter] * 100
    return Check(
        what, f"{median(ratios):+.1%} (half of them {low:+.0f} to {high:+.0f} %)", "< +10 %", median(ratios) < 0.1
    )


async def _written(client: Client, writer: Writer) -> Job:
    """Return a job that has written all it had to."""
    job = await client.start(writer.command, writer.args)
    await job.wait()
    return job


async def _turn(server: ServerProcess, read: Job, flood: Job, *, readers: int, stalled: int) -> _Turn:
    """Read all of *read* with so many readers at once, while so many others have stopped reading *flood*."""
    async with _clients(server, readers) as ours, _clients(server, stalled) as theirs:
        asleep = [await _stall(theirs[number % len(theirs)], flood.id) for number in range(stalled)]
        for client in ours:
            await client.status(read.id)  # connects
        await _until_quiet(server.pid)  # what fills the windows of those who stall is no stall yet
        began, cpu = time.monotonic(), cpu_seconds(server.pid)
        counts = await asyncio.gather(
            *(read_as_written(ours[number % len(ours)].output(read.id)) for number in range(readers))
        )
        turn = _Turn(time.monotonic() - began, cpu_seconds(server.pid) - cpu)
        for output in asleep:
            await output.aclose()
        wanted = (await ours[0].status(read.id)).output_bytes
    if counts != [wanted] * readers:
        raise AssertionError(f"readers got {sorted(set(counts))} bytes of {wanted}")
    return turn


@asynccontextmanager
async def _clients(server: ServerProcess, users: int) -> AsyncIterator[list[Client]]:
    """Give as many clients as *users* want connections."""
    clients = [server.client("alice") for _ in range(1 + users // _PER_CONNECTION)]
    try:
        yield clients
    finally:
        for client in clients:
            await client.aclose()


async def _until_quiet(pid: int) -> None:
    """Return when a process has hardly computed for a moment."""
    while True:
        before = cpu_seconds(pid)
        await asyncio.sleep(_QUIET_SECONDS)
        if cpu_seconds(pid) - before <= _QUIET_SECONDS / 10:
            return


async def _big(stage: Stage, server: ServerProcess, count: int) -> list[Check]:
    """Flood with as much as the table says while some stall, again and again, and the others read every byte."""
    size = stage.pick(64 * _MIB, 10 * 1024 * _MIB)
    writer = Writer(total=size, side=stage.directory / "big", block=4 * _MIB)
    async with _clients(server, count) as awake, _clients(server, count) as drowsy, asyncio.TaskGroup() as tasks:
        reset_peak(server.pid)
        before, began = peak_bytes(server.pid), time.monotonic()
        job = await awake[0].start(writer.command, writer.args)
        asleep = [await _stall(drowsy[at % len(drowsy)], job.id) for at in range(count)]
        naps = [tasks.create_task(_nap(output)) for output in asleep]
        outputs = [awake[at % len(awake)].output(job.id) for at in range(count)]
        telling = tasks.create_task(_tell(stage, server.pid, before, outputs))
        async with asyncio.timeout(60 + count * size / _SLOWEST):
            reads = [tasks.create_task(read_as_written(output)) for output in outputs]
            same = [await read for read in reads]
            status = await job.wait()
        took, grown = time.monotonic() - began, peak_bytes(server.pid) - before
        telling.cancel()
        resumed = sum(nap.cancel() and output.breaks > 0 for nap, output in zip(naps, asleep, strict=True))
    pace = f"in {took:.0f} s, {sum(same) / took / _MIB:.0f} MiB/s together, cut {_breaks(outputs)} times"
    checks = [
        exactly(f"a job of {size // _MIB} MiB", f"{status.state.value} {status.exit_code}", "exited 0"),
        exactly("its bytes", status.output_bytes, size),
        _all(f"who read all of them, and each as it was written, {pace}", same.count(size), count),
        at_most(f"growth of the server, {2 * count} followers", grown / _MIB, 100, " MiB"),
    ]
    if stage.full:
        checks.append(_all(f"stalled ones that were cut, {_breaks(asleep)} times, and went on", resumed, count))
    return checks


def _all(what: str, seen: int, count: int) -> Check:
    return exactly(what, f"{seen} of {count}", f"{count} of {count}")


def _breaks(outputs: Sequence[Output]) -> int:
    return sum(output.breaks for output in outputs)


async def _tell(stage: Stage, pid: int, before: int, outputs: Sequence[Output]) -> None:
    """Say now and then how far the readers are, until cancelled."""
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        offsets = [output.offset / _MIB for output in outputs]
        grown = (peak_bytes(pid) - before) / _MIB
        stage.say(
            f"{sum(offsets):,.0f} MiB read, each {min(offsets):,.0f} to {max(offsets):,.0f}, "
            f"cut {_breaks(outputs)} times; the server has grown by {grown:.1f} MiB"
        )


async def _nap(output: Output) -> None:
    """Stall until cut, go on from there, and stall again, until cancelled; return if one of these does not come."""
    with suppress(TimeoutError, StopAsyncIteration, GprocError):
        async with output:
            while True:
                await asyncio.sleep(_STALL_SECONDS + 8)
                breaks = output.breaks
                async with asyncio.timeout(30):
                    # What was on its way is still theirs; the cut comes after it.
                    while output.breaks == breaks:
                        await anext(output)


async def _stall(client: Client, job_id: str) -> Output:
    """Read one piece, and then nothing more."""
    output = client.job(job_id).output()
    await anext(output)
    return output
