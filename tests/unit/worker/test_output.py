from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from gproc_support.waiting import eventually

from gproc.model import JobState, JobStatus, OutputEvent, OutputRange
from gproc.store.index import IndexRecord, Kind, encode
from gproc.store.writer import Extent
from gproc.worker.output import follow
from gproc.worker.registry import Entry
from gproc.worker.tasks import Tasks

ENDLESS = 2**40


def _last_line_of_a_terabyte(directory: Path, tasks: Tasks) -> AsyncGenerator[OutputEvent, None]:
    """Ask for the last line of output that has none, and lies on no disk: to look for it takes minutes."""
    (directory / "index").write_bytes(encode(IndexRecord(0, 0, Kind.STDOUT)))
    with (directory / "output").open("wb") as output:
        output.truncate(ENDLESS)
    status = JobStatus(id="0" * 36, owner="alice", state=JobState.EXITED, command="x", output_bytes=ENDLESS)
    return follow(Entry(status, extent=Extent(ENDLESS, ENDLESS)), directory, OutputRange(tail_lines=1), tasks)


async def test_readers_of_last_lines_leave_threads_for_others_and_none_is_busy_once_they_have_left(
    tmp_path: Path,
) -> None:
    tasks = Tasks()
    readers = [asyncio.ensure_future(anext(_last_line_of_a_terabyte(tmp_path, tasks))) for _ in range(8)]
    await eventually(tasks._searching.locked)
    async with asyncio.timeout(5):
        assert await tasks.thread(int, "7") == 7
    for reader in readers:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
    async with asyncio.timeout(5):
        await tasks.close()
