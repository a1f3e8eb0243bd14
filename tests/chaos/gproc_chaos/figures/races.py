"""Stops that race with the natural end of a job."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from gproc.client import Client
from gproc.model import JobState, JobStatus
from gproc.model.document import status_from_document
from gproc.store.directory import opened
from gproc.store.records import read_record
from gproc.testing.faults import ServerProcess
from gproc_chaos.figure import Check, Stage, exactly

__all__ = ["stop_raced"]

_AT_ONCE = 8


async def stop_raced(stage: Stage) -> Sequence[Check]:
    """Stop jobs about when they end by themselves; whoever is asked, and whenever, says the same."""
    rounds = stage.pick(60, 1000)
    seen: dict[str, JobStatus] = {}
    wrong: list[str] = []
    gate = asyncio.Semaphore(_AT_ONCE)
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        shell_seconds = await _seconds_of_a_shell(client)
        async with asyncio.TaskGroup() as group:
            for _ in range(rounds):
                await gate.acquire()
                group.create_task(_race(stage, server, client, gate, shell_seconds, seen, wrong))
        await server.restart()
        later = {status.id: status async for status in client.list()}
        changed = [job_id for job_id, status in seen.items() if later.get(job_id) != status]
    states = Counter(status.state for status in seen.values())
    mix = f"{states[JobState.EXITED]} exited, {states[JobState.STOPPED]} stopped"
    return [
        exactly("one consistent final status", f"{rounds - len(wrong)} of {rounds}", f"{rounds} of {rounds}"),
        exactly("statuses that a restart changed", len(changed), 0),
        Check("how they ended", mix, "both", is_ok=min(states[JobState.EXITED], states[JobState.STOPPED]) > 0),
        *(Check("wrong", text, "nothing", is_ok=False) for text in wrong[:3]),
    ]


async def _seconds_of_a_shell(client: Client) -> float:
    """Return how many seconds after its start a shell that does nothing is over on this machine."""
    begun = time.monotonic()
    job = await client.start("sh", ["-c", "exit 7"])
    await job.wait()
    return time.monotonic() - begun


async def _race(
    stage: Stage,
    server: ServerProcess,
    client: Client,
    gate: asyncio.Semaphore,
    shell_seconds: float,
    seen: dict[str, JobStatus],
    wrong: list[str],
) -> None:
    try:
        seconds = stage.chance.uniform(0.02, 0.08)
        job = await client.start("sh", ["-c", f"sleep {seconds:.4f}; exit 7"])
        waiting = asyncio.create_task(client.wait(job.id))
        await asyncio.sleep(stage.chance.uniform(0, shell_seconds + 1.5 * seconds))
        stops = (
            [await client.stop(job.id)]
            if stage.chance.random() < 0.5
            else await asyncio.gather(client.stop(job.id), client.stop(job.id))
        )
        told = [*stops, await waiting, await client.status(job.id), _stored(server, job.id)]
        seen[job.id] = told[0]
        if any(status != told[0] for status in told) or not _makes_sense(told[0]):
            wrong.append(f"{job.id}: " + " | ".join(_words(status) for status in told))
    finally:
        gate.release()


def _stored(server: ServerProcess, job_id: str) -> JobStatus:
    with opened(server.state_dir / "jobs" / job_id) as fd:
        return status_from_document(read_record("status.json", dir_fd=fd))


def _makes_sense(status: JobStatus) -> bool:
    """Whether it tells one story: it ended by itself, or it was stopped."""
    match status.state:
        case JobState.EXITED:
            return (status.exit_code, status.signal, status.stopped_by) == (7, "", "")
        case JobState.STOPPED:
            killed = status.exit_code is None and status.signal == "SIGTERM"
            # The shell may have got past its sleep, or told by its code that the sleep was killed.
            return status.stopped_by == "alice" and (killed or (status.exit_code in {7, 143} and not status.signal))
        case _:
            return False


def _words(status: JobStatus) -> str:
    return f"{status.state.value} {status.exit_code} {status.signal} {status.stopped_by} {status.ended_at}"
