"""Supervisors for tests: one in this process, and one in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from gproc.model import Chunk, Gap, JobId, JobStatus, OutputRange, Stream
from gproc.model.document import status_from_document
from gproc.store.directory import opened
from gproc.store.records import read_record
from gproc.worker import Supervisor, SupervisorSettings

__all__ = ["NO_RESERVE", "Keeper", "keeper", "output_of", "shell", "shim_pid", "supervised", "until_output"]

NO_RESERVE = SupervisorSettings(reserve_bytes=0)
_LIMIT_SECONDS = 20.0


@asynccontextmanager
async def supervised(state_dir: Path, settings: SupervisorSettings = NO_RESERVE) -> AsyncIterator[Supervisor]:
    """Supervise the jobs of *state_dir*; what still runs at the end is killed."""
    async with Supervisor(state_dir, settings) as supervisor:
        try:
            yield supervisor
        finally:
            running = [job.id for job in supervisor.list(page_size=1000).jobs if not job.is_final]
            await asyncio.gather(*(supervisor.stop(job_id, grace=timedelta(0)) for job_id in running))


async def shell(supervisor: Supervisor, script: str, **options: Any) -> JobId:
    """Start *script* in a shell."""
    return await supervisor.start("sh", ["-c", script], **options)


async def until_output(supervisor: Supervisor, job_id: JobId, wanted: bytes = b"ready") -> bytes:
    """Return the output of a job once *wanted* is in it."""
    found = b""
    async with asyncio.timeout(_LIMIT_SECONDS), aclosing(supervisor.watch_output(job_id)) as pieces:
        async for piece in pieces:
            found += bytes(piece.data) if isinstance(piece, Chunk) else b""
            if wanted in found:
                return found
    raise AssertionError(f"the job ended, and {wanted!r} is not in {found!r}")


async def output_of(supervisor: Supervisor, job_id: JobId, *streams: Stream, offset: int = 0) -> bytes:
    """Follow the output of a job to its end; return it, dropped bytes as NULs, having seen that it is contiguous."""
    found = b""
    wanted = OutputRange(streams=frozenset(streams or Stream), offset=offset)
    async with asyncio.timeout(_LIMIT_SECONDS), aclosing(supervisor.watch_output(job_id, wanted)) as pieces:
        async for piece in pieces:
            assert streams or piece.offset == offset + len(found)
            found += bytes(piece.bytes) if isinstance(piece, Gap) else bytes(piece.data)
    return found


def shim_pid(state_dir: Path, job_id: JobId) -> int:
    """Return the process id of a job's shim, from its record."""
    with opened(state_dir / "jobs" / job_id) as fd:
        return int(read_record("status.json", dir_fd=fd)["shim"]["pid"])


class Keeper:
    """A supervisor in a process of its own; see `keeper.py`."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def ask(self, **request: Any) -> JobStatus:
        """Return the status that the keeper answers *request* with."""
        return status_from_document(await self.answer(**request))

    async def answer(self, **request: Any) -> dict[str, Any]:
        """Return all that the keeper answers *request* with."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self.line())
        return answer

    async def line(self) -> bytes:
        assert self.process.stdout is not None
        async with asyncio.timeout(_LIMIT_SECONDS):
            return await self.process.stdout.readline()

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def keeper(
    state_dir: Path, *, env: dict[str, str] | None = None, through: Sequence[str] = ()
) -> AsyncIterator[Keeper]:
    """Run a supervisor of *state_dir* in another process; it is killed at the end, its jobs are not.

    It is executed *through* another command, if one is given.
    """
    process = await asyncio.create_subprocess_exec(
        *through,
        sys.executable,
        Path(__file__).with_name("keeper.py"),
        state_dir,
        stdin=PIPE,
        stdout=PIPE,
        env=os.environ | (env or {}),
    )
    keeper = Keeper(process)
    try:
        assert await keeper.line() == b"ready\n"
        yield keeper
    finally:
        await keeper.kill()
