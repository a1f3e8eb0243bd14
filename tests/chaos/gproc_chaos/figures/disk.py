"""A disk that is full and gets room again while a job writes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from gproc.client import Job
from gproc.client.output import Output
from gproc.errors import QuotaExceeded
from gproc.model import JobState
from gproc.model.document import status_from_document
from gproc.store.directory import opened
from gproc.store.records import read_record
from gproc.testing.faults import ServerProcess, small_disk
from gproc.testing.faults.pattern import Reading, Writer, judge
from gproc_chaos.figure import Check, Stage, at_most, exactly

__all__ = ["disk_full", "ended_while_full"]

_MIB = 1 << 20
_LIMIT_SECONDS = 10.0
_LOOK_SECONDS = 0.005


async def disk_full(stage: Stage) -> Sequence[Check]:
    """Fill the disk and free it again, over and over, while one job writes and one reader follows."""
    cycles = stage.pick(3, 20)
    back: list[float] = []
    with small_disk(96 * _MIB, parent=stage.directory) as disk:
        config = f"[disk]\nreserve = {disk.reserve_bytes}\n"
        async with ServerProcess(stage.room("server"), state_dir=disk.path / "state", config=config) as server:
            client = server.client("alice")
            writer = Writer(total=1 << 40, side=stage.directory / "side", block=8192, pause=0.004)
            job = await client.start(writer.command, writer.args)
            reading = Reading()
            output = job.output()
            following = asyncio.create_task(_read(output, reading))
            for number in range(cycles):
                gaps, dropped = _gaps(reading), (await job.refresh()).dropped_bytes
                disk.fill()
                await _until_dropped(job, dropped)
                await asyncio.sleep(stage.chance.uniform(0, 0.5))
                disk.free()
                freed = time.monotonic()
                await _until_back(reading, gaps)
                back.append(time.monotonic() - freed)
                await asyncio.sleep(0.2)
                stage.say(f"cycle {number + 1} of {cycles}: back after {back[-1]:.2f} s, {_dropped(reading)} dropped")
            end = await job.stop()
            await following
            is_real = disk.is_real
            written = writer.written()
            verdict = judge(reading.pieces, written=end.output_bytes)
    return [
        Check("disk", "a full tmpfs" if is_real else "a reserve that is used up", "either", is_ok=True),
        at_most("longest write(2) of the job", writer.longest_write(), 1, " s"),
        exactly("what the reader got", str(verdict), f"{end.dropped_bytes} dropped"),
        exactly("dropped bytes told", end.dropped_bytes, _dropped(reading)),
        exactly("bytes counted", end.output_bytes, written),
        at_most("capture back", max(back), 1, " s"),
        exactly("the job", end.state.value, JobState.STOPPED.value),
        exactly("gaps", f"{_gaps(reading) >= cycles}", "True"),
    ]


async def _read(output: Output, reading: Reading) -> None:
    async with output as pieces:
        async for piece in pieces:
            reading.take(piece)


def _gaps(reading: Reading) -> int:
    return sum(piece.is_gap for piece in reading.pieces)


def _dropped(reading: Reading) -> int:
    return sum(piece.length for piece in reading.pieces if piece.is_gap)


async def _until_dropped(job: Job, dropped_before: int) -> None:
    """Return when more bytes than before had to be dropped."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while (await job.refresh()).dropped_bytes <= dropped_before:
            await asyncio.sleep(_LOOK_SECONDS)


async def _until_back(reading: Reading, gaps_before: int) -> None:
    """Return when bytes come again after a new gap."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while _gaps(reading) <= gaps_before or reading.pieces[-1].is_gap:
            await asyncio.sleep(_LOOK_SECONDS)


async def ended_while_full(stage: Stage) -> Sequence[Check]:
    """End a job while its last record does not fit the disk, and start another: one is known, one is refused."""
    codes = []
    with small_disk(32 * _MIB, parent=stage.directory) as disk:
        config = f"[disk]\nreserve = {disk.reserve_bytes}\n"
        async with ServerProcess(stage.room("server"), state_dir=disk.path / "state", config=config) as server:
            client = server.client("alice")
            os.mkfifo(stage.directory / "end", 0o600)
            job = await client.start("sh", ["-c", "read line < end; exit 5"], working_directory=str(stage.directory))
            disk.fill()
            try:
                refused: object = await client.start("true")
            except QuotaExceeded as error:
                refused = error
            (stage.directory / "end").write_text("now\n")
            codes.append((await job.wait()).exit_code)
            await server.restart()
            codes.append((await client.wait(job.id)).exit_code)
            disk.free()
            await _until_stored(server.state_dir / "jobs" / job.id)
            await server.restart()
            codes.append((await client.status(job.id)).exit_code)
            known = [status.id async for status in client.list()]
            is_real = disk.is_real
    return [
        exactly("its code: told at once, after a restart, and after room came back", codes, [5, 5, 5]),
        Check("another start", str(refused)[:60], "refused", is_ok=isinstance(refused, QuotaExceeded) or not is_real),
        exactly("jobs known", len(known), 1 if is_real else len(known)),
    ]


async def _until_stored(directory: Path) -> None:
    """Return when the final record of a job is on the disk."""
    async with asyncio.timeout(_LIMIT_SECONDS):
        while not _is_stored(directory):
            await asyncio.sleep(_LOOK_SECONDS)


def _is_stored(directory: Path) -> bool:
    with opened(directory) as fd:
        return status_from_document(read_record("status.json", dir_fd=fd)).is_final
