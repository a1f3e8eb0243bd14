"""The line between client and server is cut, stalled and slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from gproc.client import Client, Patience
from gproc.testing.faults import Line, ServerProcess
from gproc.testing.faults.pattern import Writer
from gproc_chaos.figure import Check, Stage, at_most, exactly
from gproc_chaos.readers import Tally, follow

__all__ = ["line_cut", "line_slow", "start_retried"]

_READERS = 3


async def line_cut(stage: Stage) -> Sequence[Check]:
    """Cut the line again and again while jobs are followed; nobody helps the readers."""
    wanted, cuts, tally = stage.pick(10, 200), 0, Tally()
    async with ServerProcess(stage.room("server")) as server, Line(server.addr) as line:
        near = server.client("alice")
        far = [server.client("alice", addr=line.addr) for _ in range(_READERS)]
        number = 0
        while cuts < wanted:
            # It writes much more than fits the buffers on the way, so that cuts fall into moving bytes.
            writer = Writer(
                total=stage.pick(16_000_001, 48_000_001),
                side=stage.directory / f"side-{number}",
                pause=0.003,
                code=number % 256,
            )
            job = await near.start(writer.command, writer.args)
            following = asyncio.create_task(follow(job.id, writer, far))
            while not following.done() and cuts < wanted:
                await asyncio.wait([following], timeout=stage.chance.uniform(0.02, 0.3))
                cuts += line.cut() > 0
            tally.add(await following)
            number += 1
            stage.say(f"{cuts} of {wanted} cuts: {tally.identical} of {tally.readers} readers identical")
    return [
        *tally.checks(),
        Check("cuts", f"{cuts}, {tally.breaks} breaks mended", f"{wanted}", is_ok=tally.breaks > 0 and cuts >= wanted),
    ]


async def line_slow(stage: Stage) -> Sequence[Check]:
    """Delay the line, let it trickle and stall while a job is followed: slow, and nothing else."""
    tally = Tally()
    async with ServerProcess(stage.room("server")) as server, Line(server.addr) as line:
        near, far = server.client("alice"), server.client("alice", addr=line.addr)
        for number in range(stage.pick(1, 10)):
            writer = Writer(total=400_003, side=stage.directory / f"side-{number}", block=8192, pause=0.002)
            job = await near.start(writer.command, writer.args)
            following = asyncio.create_task(follow(job.id, writer, [far]))
            line.delay(0.05)
            await asyncio.sleep(0.3)
            line.delay(0)
            line.trickle(200_000)
            await asyncio.sleep(0.5)
            line.stall()
            await asyncio.sleep(stage.pick(0.3, 3.0))
            line.trickle(None)
            line.resume()
            tally.add(await following)
    return tally.checks()


async def start_retried(stage: Stage) -> Sequence[Check]:
    """Cut the line at random moments of a start; the client asks again with the same request id."""
    rounds, once, agreed, slowest, cuts = stage.pick(10, 200), 0, 0, 0.0, 0
    async with ServerProcess(stage.room("server")) as server, Line(server.addr) as line:
        near = server.client("alice")
        for number in range(rounds):
            writer = Writer(total=8, side=stage.directory / f"side-{number}")
            far = server.client("alice", addr=line.addr, patience=Patience(attempts=50))
            began = time.monotonic()
            starting = asyncio.create_task(_start(far, writer, f"request-{number}"))
            await asyncio.sleep(stage.chance.uniform(0, 0.06))
            cuts += line.cut() > 0
            job_id = await starting
            slowest = max(slowest, time.monotonic() - began)
            same = await _start(near, writer, f"request-{number}")
            await near.wait(job_id)
            once += writer.runs() == 1
            agreed += same == job_id
            await far.aclose()
        known = [status.id async for status in near.list()]
    return [
        exactly("jobs that ran once", f"{once} of {rounds}", f"{rounds} of {rounds}"),
        exactly("the same job for the same id", f"{agreed} of {rounds}", f"{rounds} of {rounds}"),
        exactly("jobs that the server knows", len(known), rounds),
        Check("cuts", f"{cuts} hit a connection", "> 0", is_ok=cuts > 0),
        at_most("slowest start", slowest, 5, " s"),
    ]


async def _start(client: Client, writer: Writer, request_id: str) -> str:
    return (await client.start(writer.command, writer.args, request_id=request_id)).id
