"""A server that comes back: to many jobs, to one whose shim is mute, and to a stop that is under way."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from gproc.client import Client
from gproc.errors import GprocError
from gproc.model import JobState
from gproc.testing.faults import ServerProcess, frozen_shim
from gproc_chaos.figure import Check, Stage, at_most, exactly

__all__ = ["adopted", "stop_survives"]

_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


async def adopted(stage: Stage) -> Sequence[Check]:
    """Kill the server beside many running jobs and start it again, once with a shim that is mute."""
    count = stage.pick(10, 100)
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        ids = [(await client.start("sleep", ["600"])).id for _ in range(count)]
        all_answer = await server.restart()
        running = await _running(client)
        with frozen_shim(server.state_dir, ids[0]):
            one_mute = await server.restart()
            beside_mute = await _steered(client, ids[1:])
            honest = await client.status(ids[0])
        again = await _stopped(client, ids[0])
        others = await asyncio.gather(*(_stopped(client, job_id) for job_id in ids[1:]))
    return [
        at_most(f"ready with {count} jobs", all_answer, 5, " s"),
        exactly("found running", running, count),
        at_most("ready with one shim mute", one_mute, 5 + all_answer, " s"),
        exactly("others that can be signalled", beside_mute, count - 1),
        Check("the mute one says", honest.reason, "that its shim does not answer", is_ok="shim" in honest.reason),
        exactly("stopped at last", sum(others) + again, count),
    ]


async def _running(client: Client) -> int:
    return len([status async for status in client.list(states=[JobState.RUNNING])])


async def _steered(client: Client, ids: Sequence[str]) -> int:
    """Return how many of the jobs take a signal now."""
    taken = 0
    for job_id in ids:
        try:
            await client.signal(job_id, "CONT")
        except GprocError:
            continue
        taken += 1
    return taken


async def _stopped(client: Client, job_id: str) -> bool:
    async with asyncio.timeout(20):
        return (await client.stop(job_id, grace=2)).state is JobState.STOPPED


async def stop_survives(stage: Stage) -> Sequence[Check]:
    """Kill the server while it waits for a job that it stops; the stop goes on."""
    rounds, stopped, latest = stage.pick(1, 20), 0, 0.0
    grace = 1.0
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        for _ in range(rounds):
            job = await client.start(sys.executable, ["-c", _DEAF])
            async with job.output() as pieces:
                await anext(pieces)
            began = time.time()
            stopping = asyncio.create_task(client.stop(job.id, grace=grace))
            await asyncio.sleep(stage.chance.uniform(0.05, 0.5))
            await server.restart()
            status = await client.wait(job.id)
            latest = max(latest, status.ended_at.timestamp() - began if status.ended_at else float("inf"))
            asked = await stopping
            stopped += status.state is JobState.STOPPED and status.stopped_by == "alice" and asked == status
    return [
        exactly("stopped", f"{stopped} of {rounds}", f"{rounds} of {rounds}"),
        at_most(f"the latest end, with a grace of {grace:g} s", latest, grace + 1, " s"),
    ]
