"""kill -9 of the server, of a shim, and of both."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gproc.client import Job
from gproc.model import JobState
from gproc.testing.faults import ServerProcess, frozen_shim, kill_both, kill_shim
from gproc.testing.faults.pattern import Reading, Writer, judge
from gproc_chaos.figure import Check, Stage, at_most, exactly
from gproc_chaos.readers import Tally, follow

__all__ = ["both_killed", "server_killed", "shim_frozen", "shim_killed", "start_killed"]

_READERS = 3
_PIPE_BYTES = 1 << 20
"""What fits the widest pipe that a job has."""


async def server_killed(stage: Stage) -> Sequence[Check]:
    """Kill the server at random moments of jobs that write and are followed; start it again."""
    rounds, tally, restarts = stage.pick(3, 200), Tally(), []
    async with ServerProcess(stage.room("server")) as server:
        clients = [server.client(name) for name in ["alice"] * _READERS]
        for client in clients:
            await client.connect()  # a server that was never reached is not waited for as long
        for number in range(rounds):
            writer = Writer(
                total=2_000_003,
                side=stage.directory / f"side-{number}",
                block=32 * 1024,
                pause=0.008,
                code=number % 256,
            )
            job = await clients[0].start(writer.command, writer.args)
            async with asyncio.TaskGroup() as group:
                following = group.create_task(follow(job.id, writer, clients))
                await asyncio.sleep(stage.chance.uniform(0, 0.55))
                restarts.append(await server.restart())
            tally.add(following.result())
            stage.say(f"round {number + 1} of {rounds}: {tally.identical} of {tally.readers} readers identical")
    return [
        *tally.checks(),
        Check("kills", f"{rounds}, {tally.breaks} breaks mended", f"{rounds}", is_ok=tally.breaks > 0),
        at_most("longest restart", max(restarts), 10, " s"),
    ]


@dataclass(slots=True)
class _Losses:
    """What is seen of jobs that lost their shim."""

    rounds: int = 0
    lost: int = 0
    codes: int = 0
    stored: int = 0
    whole: int = 0
    slowest: float = 0.0
    biggest_loss: int = 0
    wrong: list[str] = field(default_factory=list)

    def checks(self) -> list[Check]:
        """Return what has to hold when a shim is gone."""
        return [
            exactly("LOST", f"{self.lost} of {self.rounds}", f"{self.rounds} of {self.rounds}"),
            exactly("made-up codes", self.codes, 0),
            at_most("slowest to be told", self.slowest, 2, " s"),
            at_most("biggest loss", self.biggest_loss, _PIPE_BYTES, " bytes"),
            exactly("what is left is right", f"{self.whole} of {self.rounds}", f"{self.rounds} of {self.rounds}"),
            *(Check("wrong", text, "nothing", is_ok=False) for text in self.wrong[:3]),
        ]


async def shim_killed(stage: Stage) -> Sequence[Check]:
    """Kill shims at random moments of their jobs, every other one with its pipe full."""

    async def fault(server: ServerProcess, job: Job) -> None:
        if stage.chance.random() < 0.5:
            kill_shim(server.state_dir, job.id)
            return
        with frozen_shim(server.state_dir, job.id):
            await asyncio.sleep(stage.chance.uniform(0.05, 0.2))
            kill_shim(server.state_dir, job.id)

    return await _lose(stage, stage.pick(3, 50), fault)


async def both_killed(stage: Stage) -> Sequence[Check]:
    """Kill the server and the shim together, and start the server again."""

    async def fault(server: ServerProcess, job: Job) -> None:
        kill_both(server.state_dir, job.id)
        await server.restart()

    return await _lose(stage, stage.pick(2, 50), fault)


async def _lose(stage: Stage, rounds: int, fault: Callable[[ServerProcess, Job], Awaitable[None]]) -> Sequence[Check]:
    losses = _Losses(rounds=rounds)
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        for number in range(rounds):
            writer = Writer(total=1 << 40, side=stage.directory / f"side-{number}", block=8192, pause=0.0005)
            job = await client.start(writer.command, writer.args)
            reading = Reading()
            async with asyncio.TaskGroup() as group:
                following = group.create_task(_read(job, reading))
                await asyncio.sleep(stage.chance.uniform(0.05, 0.3))
                await fault(server, job)
                began = time.monotonic()
                status = await job.wait()
                losses.slowest = max(losses.slowest, time.monotonic() - began)
            await following
            _note(losses, writer, reading, job)
            if status.state is not JobState.LOST:
                losses.wrong.append(f"{job.id}: {status.state.value}, {status.reason}")
            losses.lost += status.state is JobState.LOST and bool(status.reason)
            losses.codes += status.exit_code is not None or bool(status.signal)
            stage.say(f"round {number + 1} of {rounds}: {status.state.value}, {status.reason}")
    return losses.checks()


async def _read(job: Job, reading: Reading) -> None:
    async with job.output() as pieces:
        async for piece in pieces:
            reading.take(piece)


def _note(losses: _Losses, writer: Writer, reading: Reading, job: Job) -> None:
    """Note how much of what was written never came, and whether what came is right and all that is stored."""
    written = writer.written()
    verdict = judge(reading.pieces, written=written)
    losses.biggest_loss = max(losses.biggest_loss, verdict.lost)
    got_wrong = verdict.duplicated or verdict.reordered or verdict.damaged
    stored = job.status.output_bytes if job.status else -1
    if got_wrong or verdict.received != stored:
        losses.wrong.append(f"{job.id}: {verdict}; {verdict.received} bytes came, {stored} are stored")
    else:
        losses.whole += 1


async def shim_frozen(stage: Stage) -> Sequence[Check]:
    """Freeze the shim of a job that writes and is followed, and let it go on; others do not notice."""
    rounds, tally, others = stage.pick(2, 20), Tally(), 0
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        for number in range(rounds):
            writer = Writer(total=3_000_003, side=stage.directory / f"side-{number}", pause=0.005, code=number)
            job = await client.start(writer.command, writer.args)
            async with asyncio.TaskGroup() as group:
                following = group.create_task(follow(job.id, writer, [client]))
                await asyncio.sleep(stage.chance.uniform(0, 0.1))
                with frozen_shim(server.state_dir, job.id):
                    async with asyncio.timeout(5):
                        others += (await (await client.start("true")).wait()).exit_code == 0
                    await asyncio.sleep(stage.chance.uniform(0, 0.3))
            tally.add(following.result())
    return [*tally.checks(), exactly("other jobs meanwhile", f"{others} of {rounds}", f"{rounds} of {rounds}")]


async def start_killed(stage: Stage) -> Sequence[Check]:
    """Kill the server at random moments of a start, which the client repeats by itself under the same request id."""
    rounds, known, lost = stage.pick(4, 100), 0, 0
    runs: Counter[int] = Counter()
    wrong: list[str] = []
    async with ServerProcess(stage.room("server")) as server:
        client = server.client("alice")
        assert [job async for job in client.list()] == []  # a server that never answered is given up soon
        for number in range(rounds):
            writer = Writer(total=8, side=stage.directory / f"side-{number}", code=9)
            await client.connect()
            starting = asyncio.create_task(client.start(writer.command, writer.args, request_id=f"request-{number}"))
            await asyncio.sleep(stage.chance.uniform(0, 0.03))
            await server.restart()
            status = await client.wait((await starting).id)
            runs[writer.runs()] += 1
            lost += status.state is JobState.LOST
            known += (status.state, status.exit_code, writer.runs()) == (JobState.EXITED, 9, 1)
            if status.state not in {JobState.EXITED, JobState.LOST} or writer.runs() > 1:
                wrong.append(f"{status.state.value} {status.exit_code}, {writer.runs()} runs: {status.reason}")
        ids = [status.id async for status in client.list()]
    return [
        exactly("run more than once", sum(count for times, count in runs.items() if times > 1), 0),
        exactly("jobs that the server knows", len(ids), rounds),
        exactly("exited with its code, or LOST", known + lost, rounds),
        Check("of these LOST", f"{lost}", "as few as can be", is_ok=lost <= max(1, rounds // 20)),
        *(Check("wrong", text, "nothing", is_ok=False) for text in wrong[:3]),
    ]
