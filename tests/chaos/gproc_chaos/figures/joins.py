"""Readers that join at random offsets while the output grows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gproc.client import Client, Job
from gproc.testing.faults import ServerProcess
from gproc.testing.faults.pattern import Reading, Writer, judge
from gproc_chaos.figure import Check, Stage, exactly

__all__ = ["joined_anywhere"]

_MIB = 1 << 20


async def joined_anywhere(stage: Stage) -> Sequence[Check]:
    """Join again and again at random offsets, some at the end, and compare every byte; one reader reads it all."""
    joins, total = stage.pick(60, 1000), stage.pick(48 * _MIB, 1024 * _MIB)
    wrong: list[str] = []
    live = 0
    async with ServerProcess(stage.room("server")) as server:
        clients = [server.client("alice") for _ in range(4)]
        writer = Writer(total=total, side=stage.directory / "side", block=_MIB // 4, pause=stage.pick(0.01, 0.015))
        job = await clients[0].start(writer.command, writer.args)
        reader = asyncio.create_task(_read_all(job, writer))
        gate = asyncio.Semaphore(16)
        async with asyncio.TaskGroup() as group:
            for number in range(joins):
                await gate.acquire()
                live += not reader.done()
                group.create_task(_join(stage, clients[number % 4], job.id, writer, gate, wrong))
        whole = await reader
    return [
        exactly("mismatches", len(wrong), 0),
        Check("joins", f"{joins}, {live} of them while it wrote", str(joins), is_ok=live > joins // 2),
        exactly(f"the reader of all {total // _MIB} MiB", str(whole), "identical"),
        *(Check("wrong", text, "nothing", is_ok=False) for text in wrong[:3]),
    ]


async def _read_all(job: Job, writer: Writer) -> object:
    reading = Reading()
    async with job.output() as pieces:
        async for piece in pieces:
            reading.take(piece)
    return judge(reading.pieces, written=writer.total)


async def _join(
    stage: Stage, client: Client, job_id: str, writer: Writer, gate: asyncio.Semaphore, wrong: list[str]
) -> None:
    """Join somewhere in what is there, or exactly at the seam to what comes; read on for a while and leave."""
    written = writer.written()
    start = written if stage.chance.random() < 0.3 else stage.chance.randrange(written + 1)
    goal = min(writer.total, start + stage.chance.randrange(1, 2 * _MIB))
    reading = Reading()
    try:
        async with asyncio.timeout(60), client.output(job_id, offset=start) as pieces:
            async for piece in pieces:
                reading.take(piece)
                if pieces.offset >= goal:
                    break
            reach = pieces.offset
        verdict = judge(reading.pieces, written=reach, start=start)
        if not verdict.is_identical or verdict.dropped or reach < goal:
            wrong.append(f"from {start} to {reach}: {verdict}")
    finally:
        gate.release()
