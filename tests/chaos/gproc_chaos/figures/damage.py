"""A state directory that was damaged at random places: the server starts, and makes nothing worse."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from gproc.errors import GprocError
from gproc.model import Chunk, Gap, JobState, JobStatus
from gproc.store.directory import opened
from gproc.store.records import read_record, write_record
from gproc.testing.faults.files import Damage, random_damage
from gproc.testing.faults.pattern import Reading, Writer, judge
from gproc.worker import Supervisor
from gproc_chaos.bystander import Bystander
from gproc_chaos.figure import Check, Stage, exactly

__all__ = ["state_damaged"]

_JOBS = 5
_BYTES = 300_000
_MADE_UP = frozenset({JobState.EXITED, JobState.SIGNALED, JobState.STOPPED, JobState.TIMED_OUT})


@dataclass(slots=True)
class _Seen:
    started: int = 0
    served: int = 0
    to_serve: int = 0
    honest: int = 0
    reran: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Template:
    """A state directory with finished jobs, and one whose shim is gone and whose pid is a stranger's by now."""

    path: Path
    finished: dict[str, JobStatus]
    orphan: str
    side: Path


async def state_damaged(stage: Stage) -> Sequence[Check]:
    """Damage one to three places, start, look at everything, and do that again with a fresh copy."""
    rounds, seen = stage.pick(12, 1000), _Seen()
    logging.getLogger("gproc").setLevel(logging.CRITICAL)
    try:
        async with Bystander() as stranger:
            template = await _make(stage, stranger)
            for number in range(rounds):
                await _round(stage, template, seen)
                stage.say(f"{number + 1} of {rounds}: {seen.started} started")
            signals = await stranger.end()
    finally:
        logging.getLogger("gproc").setLevel(logging.NOTSET)
    return [
        exactly("starts", f"{seen.started} of {rounds}", f"{rounds} of {rounds}"),
        exactly("jobs run again", seen.reran, 0),
        exactly("signals to a stranger", ", ".join(signals) or "none", "none"),
        exactly("undamaged jobs served", f"{seen.served} of {seen.to_serve}", f"{seen.to_serve} of {seen.to_serve}"),
        exactly("made-up codes", rounds - seen.honest, 0),
        *(Check("wrong", text, "nothing", is_ok=False) for text in seen.wrong[:5]),
    ]


async def _make(stage: Stage, stranger: Bystander) -> _Template:
    path, side = stage.directory / "template", stage.directory / "side"
    writer = Writer(total=_BYTES, side=side, code=3)
    async with Supervisor(path) as supervisor:
        ids = [await supervisor.start(writer.command, writer.args, owner="alice") for _ in range(_JOBS + 1)]
        finished = {job_id: await supervisor.wait(job_id) for job_id in ids}
    orphan = ids[-1]
    del finished[orphan]
    _make_orphan(path / "jobs" / orphan, stranger)
    return _Template(path, finished, orphan, side)


def _make_orphan(directory: Path, stranger: Bystander) -> None:
    """Turn the record of a finished job into that of a running one, whose process id now belongs to a stranger."""
    with opened(directory) as fd:
        record = read_record("status.json", dir_fd=fd)
        for name in ("exit_code", "ended_at", "usage"):
            record.pop(name, None)
        record |= {"state": "running", "pid": stranger.pid, "reason": ""}
        record["shim"] |= {"start_ticks": stranger.start_ticks - 1}
        write_record("status.json", record, dir_fd=fd)


async def _round(stage: Stage, template: _Template, seen: _Seen) -> None:
    state = stage.directory / "state"
    shutil.copytree(template.path, state, symlinks=True, ignore=shutil.ignore_patterns("shim.sock"))
    os.chmod(state, 0o700)  # noqa: PTH101 - as the server makes it
    files = sorted(file for file in (state / "jobs").glob("*/*") if file.is_file())
    damages = [
        random_damage(stage.chance, [file for file in files if file.stat().st_size]) for _ in range(_count(stage))
    ]
    for damage in damages:
        if damage.path.stat().st_size > damage.position:
            damage.apply()
    what = "; ".join(f"{damage.path.parent.name[-4:]}/{damage}" for damage in damages)
    ran_before = template.side.read_text().count("run\n")
    try:
        async with asyncio.timeout(30), Supervisor(state) as supervisor:
            seen.started += 1
            await _look(supervisor, template, damages, seen, what)
    except (GprocError, OSError, TimeoutError) as error:
        seen.wrong.append(f"{what}: {type(error).__name__}: {error}")
    seen.reran += template.side.read_text().count("run\n") - ran_before
    shutil.rmtree(state)


def _count(stage: Stage) -> int:
    return stage.chance.randint(1, 3)


async def _look(supervisor: Supervisor, template: _Template, damages: Sequence[Damage], seen: _Seen, what: str) -> None:
    """Look at every job: the whole ones are as they were, the damaged ones say nothing that is not so."""
    damaged = {damage.path.parent.name for damage in damages}
    known = {status.id: status for status in supervisor.list(page_size=1000).jobs}
    honest = True
    for job_id, before in template.finished.items():
        status = known.get(job_id)
        if job_id not in damaged:
            seen.to_serve += 1
            if status == before and await _is_whole(supervisor, job_id):
                seen.served += 1
            else:
                seen.wrong.append(f"{what}: whole job {job_id[-4:]} is {status}")
        elif status is not None:
            # What a damaged job says is what it said before, or that it cannot be known.
            if status.state is not JobState.LOST and (status.state, status.exit_code) != (
                before.state,
                before.exit_code,
            ):
                honest = False
                seen.wrong.append(f"{what}: {job_id[-4:]} is now {status.state.value} {status.exit_code}")
            await _read(supervisor, job_id)
    orphan = known.get(template.orphan)
    if orphan is not None and (orphan.state in _MADE_UP or orphan.exit_code is not None):
        honest = False
        seen.wrong.append(f"{what}: the orphan is {json.dumps(orphan.state.value)}")
    seen.honest += honest


async def _is_whole(supervisor: Supervisor, job_id: str) -> bool:
    verdict = judge((await _read(supervisor, job_id)).pieces, written=_BYTES)
    return verdict.is_identical and not verdict.dropped


async def _read(supervisor: Supervisor, job_id: str) -> Reading:
    """Read what there is; whatever is damaged, reading comes to its end and raises nothing."""
    reading = Reading()
    async with aclosing(supervisor.watch_output(job_id)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Chunk | Gap):
                reading.take(piece)
    return reading
