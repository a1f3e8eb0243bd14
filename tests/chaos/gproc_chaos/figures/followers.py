"""Many followers of a flood, half of whom do not read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gproc.client import Client, Job
from gproc.client.output import Output
from gproc.model import Chunk
from gproc.testing.faults import ServerProcess
from gproc.testing.faults.pattern import Writer
from gproc_chaos.figure import Check, Stage, at_most, exactly
from gproc_chaos.process import cpu_seconds, peak_bytes, reset_peak

__all__ = ["stalled"]

_MIB = 1 << 20
_PER_CONNECTION = 10
_STALL_SECONDS = 30
_FILL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Flood:
    """One flood: how long its readers took, what they cost the server, and what its memory grew by."""

    seconds: float
    cpu: float
    grown: int


async def stalled(stage: Stage) -> Sequence[Check]:
    """Follow a flood with many readers, alone and beside as many who stall; the full form sees these cut and resume."""
    count, size = stage.pick(5, 50), stage.pick(16 * _MIB, 64 * _MIB)
    async with ServerProcess(stage.room("server")) as server:
        await _flood(stage, server, "warm", readers=2, stalled=0, size=4 * _MIB)
        alone, beside = [], []
        for turn in range(stage.pick(1, 3)):
            alone.append(await _flood(stage, server, f"alone-{turn}", readers=count, stalled=0, size=size))
            beside.append(await _flood(stage, server, f"beside-{turn}", readers=count, stalled=count, size=size))
            stage.say(f"alone {alone[-1]}, beside stalled ones {beside[-1]}")
        big = await _big(stage, server, count)
    checks = [at_most("growth of the server", max(one.grown for one in beside) / _MIB, 100, " MiB")]
    if stage.full:
        checks.append(_slower(alone, beside, f"{count} readers of {size // _MIB} MiB beside {count} stalled ones"))
    return [*checks, *big]


def _slower(alone: Sequence[_Flood], beside: Sequence[_Flood], who: str) -> Check:
    """Judge by the server's processor time for the same bytes: on a shared machine, seconds on the wall say little."""
    more = median(one.cpu for one in beside) / median(one.cpu for one in alone) - 1
    walls = " and ".join(f"{median(one.seconds for one in floods):.1f} s" for floods in (alone, beside))
    seen = f"{more * 100:+.1f} % (on the wall {walls})"
    return Check(f"{who}: processor time of the server", seen, "< +10 %", more < 0.1)


async def _flood(stage: Stage, server: ServerProcess, name: str, *, readers: int, stalled: int, size: int) -> _Flood:
    """Let a job write *size* bytes as fast as it can while it is read by some and ignored by others."""
    writer = Writer(total=size, side=stage.directory / name)
    clients = [server.client("alice") for _ in range(2 * (1 + (readers + stalled) // _PER_CONNECTION))]
    half = len(clients) // 2
    reset_peak(server.pid)
    before = peak_bytes(server.pid)
    job = await clients[0].start(writer.command, writer.args)
    asleep = [await _stall(clients[half + number % half], job) for number in range(stalled)]
    await clients[0].wait(job.id)
    await asyncio.sleep(
        _FILL_SECONDS
    )  # what is on its way to the stalled ones fills their windows, and is no stall yet
    began, cpu = time.monotonic(), cpu_seconds(server.pid)
    counts = await asyncio.gather(*(_count(clients[number % half].job(job.id)) for number in range(readers)))
    seconds, cpu = time.monotonic() - began, cpu_seconds(server.pid) - cpu
    grown = peak_bytes(server.pid) - before
    for output in asleep:
        await output.aclose()
    for client in clients:
        await client.aclose()
    if counts != [size] * readers:
        raise AssertionError(f"readers got {sorted(set(counts))} bytes of {size}")
    return _Flood(seconds, cpu, grown)


async def _big(stage: Stage, server: ServerProcess, count: int) -> list[Check]:
    """Flood with as much as the table says, read as fast as this machine can until the job is over."""
    size = stage.pick(64 * _MIB, 10 * 1024 * _MIB)
    writer = Writer(total=size, side=stage.directory / "big", block=4 * _MIB)
    clients = [server.client("alice") for _ in range(2 * (1 + count // _PER_CONNECTION))]
    half = len(clients) // 2
    reset_peak(server.pid)
    before = peak_bytes(server.pid)
    job = await clients[0].start(writer.command, writer.args)
    asleep = [await _stall(clients[half + number % half], job) for number in range(count)]
    stalled_at = time.monotonic()
    reading = [asyncio.create_task(_count(clients[number % half].job(job.id))) for number in range(count)]
    status = await clients[0].wait(job.id)
    checks = [
        exactly(f"a job of {size // _MIB} MiB", f"{status.state.value} {status.exit_code}", "exited 0"),
        exactly("its bytes", status.output_bytes, size),
    ]
    if stage.full:
        await asyncio.sleep(max(0.0, stalled_at + _STALL_SECONDS + 8 - time.monotonic()))
    grown = peak_bytes(server.pid) - before
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    checks.append(at_most(f"growth of the server, {2 * count} followers", grown / _MIB, 100, " MiB"))
    if stage.full:
        checks.append(await _resume(asleep))
    for output in asleep:
        await output.aclose()
    for client in clients:
        await client.aclose()
    return checks


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


async def _stall(client: Client, job: Job) -> Output:
    """Read one piece, and then nothing more."""
    output = client.job(job.id).output()
    await anext(output)
    return output


async def _count(job: Job) -> int:
    count = 0
    async with job.output() as pieces:
        async for piece in pieces:
            count += len(piece.data) if isinstance(piece, Chunk) else 0
    return count
