"""Many followers of a flood, half of whom do not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from gproc.client import Client, Job
from gproc.client.output import Output
from gproc.model import Chunk
from gproc.testing.faults import ServerProcess
from gproc.testing.faults.pattern import Reading, Verdict, Writer, judge
from gproc_chaos.figure import Check, Stage, at_most, exactly
from gproc_chaos.process import cpu_seconds, peak_bytes, reset_peak

__all__ = ["stalled"]

_MIB = 1 << 20
_PER_CONNECTION = 10
_STALL_SECONDS = 30
_QUIET_SECONDS = 0.2
_LIVE_BYTES = 64 * 1024
_LIVE_SECONDS = 0.5


async def stalled(stage: Stage) -> Sequence[Check]:
    """Read beside many who stall, and without them; then follow a flood; the full form sees the stalled resume."""
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
        counts = await asyncio.gather(*(_count(ours[number % len(ours)].job(read.id)) for number in range(readers)))
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
    """Flood with as much as the table says while some stall, some read every byte, and the rest look at what is new."""
    size, thorough = stage.pick(64 * _MIB, 10 * 1024 * _MIB), stage.pick(2, 4)
    writer = Writer(total=size, side=stage.directory / "big", block=4 * _MIB)
    async with _clients(server, count) as awake, _clients(server, count) as drowsy:
        reset_peak(server.pid)
        before = peak_bytes(server.pid)
        job = await awake[0].start(writer.command, writer.args)
        asleep = [await _stall(drowsy[number % len(drowsy)], job.id) for number in range(count)]
        stalled_at = time.monotonic()
        looking = [asyncio.create_task(_look(awake[at % len(awake)], job.id)) for at in range(count - thorough)]
        verdicts = await asyncio.gather(*(_read(awake[at % len(awake)].job(job.id), size) for at in range(thorough)))
        looks = await asyncio.gather(*looking)
        status = await job.wait()
        if stage.full:
            await asyncio.sleep(max(0.0, stalled_at + _STALL_SECONDS + 8 - time.monotonic()))
        grown = peak_bytes(server.pid) - before
        whole = sum(verdict.is_identical and verdict.received == size for verdict in verdicts)
        checks = [
            exactly(f"a job of {size // _MIB} MiB", f"{status.state.value} {status.exit_code}", "exited 0"),
            exactly("its bytes", status.output_bytes, size),
            exactly(
                "who read all of them, and each as it was written",
                f"{whole} of {thorough}",
                f"{thorough} of {thorough}",
            ),
            exactly(
                f"who looked at what was new, {sum(looks)} times",
                f"{sum(look > 0 for look in looks)} of {len(looks)}",
                f"{len(looks)} of {len(looks)}",
            ),
            at_most(f"growth of the server, {2 * count} followers", grown / _MIB, 100, " MiB"),
        ]
        if stage.full:
            checks.append(await _resume(asleep))
        for output in asleep:
            await output.aclose()
    return checks


async def _read(job: Job, size: int) -> Verdict:
    """Read a job to its last byte; say what became of the bytes on their way."""
    reading = Reading()
    async with job.output() as pieces:
        async for piece in pieces:
            reading.take(piece)
    return judge(reading.pieces, written=size)


async def _look(client: Client, job_id: str) -> int:
    """Look at what is new, again and again until the job is over; return how often it was what the job wrote there."""
    looks = 0
    while not (status := await client.status(job_id)).is_final or looks == 0:
        start = max(0, status.output_bytes - _LIVE_BYTES)
        reading = Reading()
        async with client.output(job_id, offset=start) as pieces:
            async for piece in pieces:
                reading.take(piece)
                if pieces.offset >= start + _LIVE_BYTES:
                    break
            reach = pieces.offset
        if not judge(reading.pieces, written=reach, start=start).is_identical:
            raise AssertionError(f"what was read from {start} on is not what was written there")
        looks += 1
        await asyncio.sleep(_LIVE_SECONDS)
    return looks


async def _resume(asleep: Sequence[Output]) -> Check:
    """Let those who slept read on: they were cut meanwhile, and go on where they were."""
    resumed = 0
    for output in asleep:
        before = output.offset
        try:
            async with asyncio.timeout(30):
                # What was on its way is still theirs; the cut comes after it.
                while output.breaks == 0:
                    await anext(output)
                piece = await anext(output)
        except (TimeoutError, StopAsyncIteration):
            continue
        resumed += output.offset > before and isinstance(piece, Chunk)
    return exactly(
        "stalled ones that were cut and went on", f"{resumed} of {len(asleep)}", f"{len(asleep)} of {len(asleep)}"
    )


async def _stall(client: Client, job_id: str) -> Output:
    """Read one piece, and then nothing more."""
    output = client.job(job_id).output()
    await anext(output)
    return output


async def _count(job: Job) -> int:
    count = 0
    async with job.output() as pieces:
        async for piece in pieces:
            count += len(piece.data) if isinstance(piece, Chunk) else 0
    return count
