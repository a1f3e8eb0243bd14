"""Descendants that try to outlive their job."""

from __future__ import annotations

from collections.abc import Sequence

from gproc.client import Client
from gproc.model import JobState
from gproc.testing.faults import ServerProcess, kill_shim
from gproc_chaos.bystander import Bystander
from gproc_chaos.family import Family
from gproc_chaos.figure import Check, Stage, at_most, exactly

__all__ = ["orphaned", "stopped"]

_GRACE = 0.5
_LIMIT = 10.0


async def stopped(stage: Stage) -> Sequence[Check]:
    """Stop jobs whose descendants have sessions of their own, are doubly forked, and deaf to SIGTERM or frozen."""
    rounds, count = stage.pick(2, 50), stage.pick(100, 300)
    slowest, survivors, said_stopped = 0.0, 0, 0
    async with Bystander() as stranger, ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        for number in range(rounds):
            manner = "frozen" if number % 2 else "plain"
            async with Family(stage.room(f"family-{number}"), count, manner) as family:
                job = await client.start(family.command, family.args)
                await family.complete()
                status = await client.stop(job.id, grace=_GRACE)
                said_stopped += status.state is JobState.STOPPED
                # The answer came when all was over, so whoever is found now was left behind.
                after = await family.gone(_LIMIT)
                survivors += family.survivors()
                slowest = max(slowest, _LIMIT if after is None else after)
                took = (
                    (status.ended_at - status.started_at).total_seconds()
                    if status.ended_at and status.started_at
                    else -1
                )
                stage.say(f"round {number + 1} of {rounds}, {manner}: {status.state.value} after {took:.2f} s")
        signals = await stranger.end()
    return [
        exactly("survivors", survivors, 0),
        at_most("the last one gone after the answer", slowest, 1, " s"),
        exactly("stopped", f"{said_stopped} of {rounds}", f"{rounds} of {rounds}"),
        exactly("signals to a stranger", ", ".join(signals) or "none", "none"),
    ]


async def orphaned(stage: Stage) -> Sequence[Check]:
    """Kill the shim of a job with descendants: at once, after a restart of the server, and while there is no server."""
    rounds = stage.pick(1, 10)
    checks = []
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        for manner in ("with its server", "after a restart of the server", "without a server"):
            left = 0
            for number in range(rounds):
                room = stage.room(f"{manner.replace(' ', '-')}-{number}")
                left += await _orphan(server, client, Family(room, 20), manner)
            checks.append(exactly(f"survivors of a shim killed {manner}", left, 0))
    return checks


async def _orphan(server: ServerProcess, client: Client, family: Family, manner: str) -> int:
    async with family:
        job = await client.start(family.command, family.args)
        await family.complete()
        if manner == "after a restart of the server":
            await server.restart()
        elif manner == "without a server":
            await server.kill()
        kill_shim(server.state_dir, job.id)
        if manner == "without a server":
            await server.start()
        status = await client.wait(job.id)
        if status.state is not JobState.LOST:
            raise AssertionError(f"job {job.id} is {status.state.value}")
        await family.gone(2.0)
        left = family.survivors()
        family.kill()
        return left
