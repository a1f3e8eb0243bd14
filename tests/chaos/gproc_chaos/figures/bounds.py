"""What is bounded: output of a job, jobs of an owner, descriptors of a server, how long finished jobs are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gproc.client import Client
from gproc.errors import GprocError, JobNotFound, QuotaExceeded, Unavailable
from gproc.model import JobState, Limits, OutputPolicy
from gproc.testing.faults import ServerProcess, few_descriptors
from gproc.testing.faults.pattern import Reading, Writer, judge
from gproc_chaos.figure import Check, Stage, exactly

__all__ = ["bounds", "descriptors_exhausted"]

_CONFIG = """
[quotas]
running_jobs = 2
[retention]
count = {kept}
"""


async def bounds(stage: Stage) -> Sequence[Check]:
    """Reach quotas, caps and retention; what is refused or dropped is told, and nobody else notices."""
    async with ServerProcess(stage.room("server"), config=_CONFIG.format(kept=100)) as server:
        alice, bob = server.client("alice"), server.client("bob")
        return [
            *await _quota(alice, bob),
            *await _dropped(stage, alice),
            *await _stopped(stage, alice),
            await _removed_while_read(stage, alice),
            await _retention(server, bob),
        ]


async def _quota(alice: Client, bob: Client) -> list[Check]:
    running = [await alice.start("sleep", ["60"]) for _ in range(2)]
    try:
        refused: object = await alice.start("true")
    except QuotaExceeded as error:
        refused = error
    other = await (await bob.start("true")).wait()
    for job in running:
        await job.stop()
    return [
        Check("beyond the quota", str(refused)[:60], "refused", is_ok=isinstance(refused, QuotaExceeded)),
        exactly("another owner", other.exit_code, 0),
    ]


async def _dropped(stage: Stage, client: Client) -> list[Check]:
    cap = 100_003
    writer = Writer(total=1_000_001, side=stage.directory / "dropped")
    limits = Limits(output_bytes=cap, output_policy=OutputPolicy.DROP)
    job = await client.start(writer.command, writer.args, limits=limits)
    verdict = judge((await _read(client, job.id)).pieces, written=writer.total)
    status = await job.wait()
    return [
        exactly("beyond the cap of output", str(verdict), f"{writer.total - cap} dropped"),
        exactly("dropped bytes told", status.dropped_bytes, writer.total - cap),
        exactly("code of a job that was cut short in output only", status.exit_code, 0),
    ]


async def _stopped(stage: Stage, client: Client) -> list[Check]:
    writer = Writer(total=1 << 40, side=stage.directory / "stopped", pause=0.001)
    limits = Limits(output_bytes=100_000, output_policy=OutputPolicy.STOP)
    status = await (await client.start(writer.command, writer.args, limits=limits)).wait()
    told = status.state is JobState.STOPPED and "output" in status.reason
    return [Check("a job that must not write more", f"{status.state.value}, {status.reason}", "stopped", is_ok=told)]


async def _removed_while_read(stage: Stage, client: Client) -> Check:
    """Remove a job while somebody is in the middle of its output."""
    writer = Writer(total=stage.pick(64, 512) << 20, side=stage.directory / "removed", block=1 << 20)
    job = await client.start(writer.command, writer.args)
    await job.wait()
    reading = Reading()
    async with client.output(job.id) as pieces:
        reading.take(await anext(pieces))
        await client.remove(job.id)
        async for piece in pieces:
            reading.take(piece)
    try:
        await client.status(job.id)
        gone = False
    except JobNotFound:
        gone = True
    return exactly(
        "the reader of a job that was removed",
        f"{judge(reading.pieces, written=writer.total)}, {gone}",
        "identical, True",
    )


async def _retention(server: ServerProcess, bob: Client) -> Check:
    """Let the server keep three finished jobs of each owner; it starts, and keeps the newest three."""
    ids = [(await bob.start("true")).id for _ in range(5)]
    await asyncio.gather(*map(bob.wait, ids))
    await server.kill()
    (server.directory / "gproc.toml").write_text(_CONFIG.format(kept=3))
    await server.start()
    async with asyncio.timeout(10):
        while len(kept := [status.id async for status in bob.list()]) > 3:
            await asyncio.sleep(0.02)
    newest = sorted(ids, reverse=True)[:3]
    return Check("finished jobs kept", f"{len(kept)}", "the newest 3", is_ok=kept == newest)


async def _read(client: Client, job_id: str) -> Reading:
    reading = Reading()
    async with client.output(job_id) as pieces:
        async for piece in pieces:
            reading.take(piece)
    return reading


async def descriptors_exhausted(stage: Stage) -> Sequence[Check]:
    """Let the server run out of descriptors: starts are refused, those who follow go on, and all is well afterwards."""
    refused = 0
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        writer = Writer(total=4_000_003, side=stage.directory / "side", block=8192, pause=0.002)
        followed = await client.start(writer.command, writer.args)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(_read(client, followed.id))
            while not writer.written():
                await asyncio.sleep(0.01)
            with few_descriptors(server.pid, spare=0):
                for _ in range(stage.pick(5, 50)):
                    refused += await _is_refused(client)
        afterwards = await (await client.start("true")).wait()
        status = await followed.wait()
        log = [line for line in server.log if "Traceback" in line]
        known = {status.id async for status in client.list()}
        stored = {path.name for path in (server.state_dir / "jobs").iterdir()}
    verdict = judge(following.result().pieces, written=writer.total)
    return [
        Check("starts without descriptors", f"{refused} refused", "> 0 refused", is_ok=refused > 0),
        exactly("a start afterwards", afterwards.exit_code, 0),
        exactly("who followed meanwhile", f"{verdict}, {status.state.value} {status.exit_code}", "identical, exited 0"),
        exactly("traces of refused starts on the disk", len(stored - known), 0),
        exactly("tracebacks in the log", len(log), 0),
    ]


async def _is_refused(client: Client) -> bool:
    try:
        async with asyncio.timeout(10):
            await (await client.start("true", request_id="")).wait()
    except (QuotaExceeded, Unavailable):
        return True
    except (GprocError, TimeoutError) as error:
        raise AssertionError(f"a start was answered with {type(error).__name__}: {error}") from error
    return False
