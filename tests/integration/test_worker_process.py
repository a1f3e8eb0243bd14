from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from gproc_support.processes import living, open_descriptors
from gproc_support.waiting import eventually

from gproc.errors import CommandNotFound, InvalidArgument, JobFinished
from gproc.model import JobState, StopPolicy
from gproc.worker import Process

SHORT = StopPolicy(grace=timedelta(seconds=0.3))


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_process_runs_to_its_end() -> None:
    process = Process("sh", ["-c", "exit 3"])
    assert process.status().state is JobState.PENDING
    await process.start()
    status = await asyncio.wait_for(process.wait(), 5)
    assert (status.state, status.exit_code, status.signal) == (JobState.EXITED, 3, "")
    assert process.done.is_set()
    assert status.started_at is not None
    assert status.ended_at is not None
    assert status.started_at <= status.ended_at


async def test_a_process_writes_where_it_is_told_to_in_its_directory_and_environment(tmp_path: Path) -> None:
    with pipe() as (reader, writer):
        process = Process(
            "sh",
            ["-c", "pwd; echo $A $SECRET; echo err >&2"],
            env={"A": "1"},
            cwd=tmp_path,
            stdout=writer,
            stderr=writer,
        )
        await process.start()
        await asyncio.wait_for(process.wait(), 5)
        assert os.read(reader, 1000).decode().split() == [str(tmp_path), "1", "err"]


async def test_a1_a_program_that_is_not_there_is_an_error_and_leaks_nothing() -> None:
    before = open_descriptors()
    process = Process("no-such-program")
    for _ in range(3):
        with pytest.raises(CommandNotFound):
            await process.start()
    assert process.status().state is JobState.PENDING
    assert open_descriptors() == before


def test_a2_what_could_never_run_is_refused_at_once() -> None:
    with pytest.raises(InvalidArgument):
        Process("")


async def test_a_process_is_started_once() -> None:
    process = Process("true")
    await process.start()
    with pytest.raises(RuntimeError, match="started once"):
        await process.start()
    await asyncio.wait_for(process.wait(), 5)


async def test_b1_a_stop_reaches_the_whole_group(mark: str) -> None:
    with pipe() as (reader, writer):
        process = Process("sh", ["-c", "sleep 1000 & echo ready; wait"], env={"M": mark}, stdout=writer)
        await process.start()
        assert await asyncio.to_thread(os.read, reader, 100) == b"ready\n"
        status = await process.stop()
        assert (status.state, status.signal) == (JobState.SIGNALED, "SIGTERM")
        await eventually(lambda: not living(mark))


async def test_b2_a_process_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    with pipe() as (reader, writer):
        process = Process("sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], stdout=writer)
        await process.start()
        assert await asyncio.to_thread(os.read, reader, 100) == b"ready\n"
        begun = time.monotonic()
        assert (await process.stop(SHORT)).signal == "SIGKILL"
        assert 0.3 <= time.monotonic() - begun < 1.3


async def test_b3_a_process_that_was_stopped_with_sigstop_is_stopped_all_the_same() -> None:
    process = Process("sleep", ["1000"])
    await process.start()
    process.signal(signal.SIGSTOP)
    assert (await asyncio.wait_for(process.stop(), 5)).signal == "SIGTERM"


async def test_b6_a_process_that_ended_is_left_alone() -> None:
    process = Process("true")
    with pytest.raises(JobFinished, match="not started"):
        process.signal(signal.SIGTERM)
    await process.start()
    ended = await asyncio.wait_for(process.wait(), 5)
    assert await process.stop() == ended
    with pytest.raises(JobFinished, match="is not running"):
        process.signal(signal.SIGTERM)


def reap(pid: int) -> None:
    """Wait for a process here and now, so that nobody else on this event loop can."""
    os.waitpid(pid, 0)


async def test_c5_a_process_that_somebody_else_reaped_is_lost_and_no_code_is_made_up() -> None:
    process = Process("sh", ["-c", "exit 42"])
    await process.start()
    pid = process.status().pid
    assert pid is not None
    os.waitpid(pid, 0)  # noqa: ASYNC222 - while the loop waits here, it cannot reap it itself
    status = await asyncio.wait_for(process.wait(), 5)
    assert (status.state, status.exit_code, status.signal) == (JobState.LOST, None, "")


async def test_a_wait_that_is_cancelled_leaves_the_process_alone() -> None:
    process = Process("sleep", ["1000"])
    await process.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.01)
    assert process.status().state is JobState.RUNNING
    await process.stop(StopPolicy(grace=timedelta(0)))


async def test_a_stop_ends_members_of_the_group_that_outlive_the_program(mark: str) -> None:
    process = Process("sh", ["-c", "(trap '' TERM; exec sleep 1000) & wait"], env={"MARK": mark})
    await process.start()
    await eventually(lambda: len(living(mark)) == 2)

    await process.stop(StopPolicy(grace=timedelta(seconds=10)))

    await eventually(lambda: not living(mark))
