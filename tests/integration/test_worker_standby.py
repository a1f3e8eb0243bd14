from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest
from gproc_support.processes import is_living, named, open_descriptors
from gproc_support.supervision import output_of, shell, shim_pid, until_output
from gproc_support.waiting import eventually

from gproc.model import JobState, Limits
from gproc.worker import Supervisor
from gproc.worker.kernel import read_file


def directory_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()


async def over(supervisor: Supervisor, script: str = "true") -> None:
    """Run a job, and return when its shim would take another."""
    before = len(supervisor._attachment._standby._idle)
    await supervisor.wait(await shell(supervisor, script))
    await eventually(lambda: len(supervisor._attachment._standby._idle) > before)


async def test_a_job_gets_the_shim_of_one_that_is_over(supervisor: Supervisor, state_dir: Path) -> None:
    first = await shell(supervisor, "sleep 1000")
    shim = shim_pid(state_dir, first)
    await supervisor.stop(first)
    await eventually(lambda: bool(supervisor._attachment._standby._idle))
    second = await shell(supervisor, "echo second; exec sleep 1000")
    assert shim_pid(state_dir, second) == shim
    await until_output(supervisor, second, b"second\n")
    status = await supervisor.stop(second)
    assert (status.state, await output_of(supervisor, second)) == (JobState.STOPPED, b"second\n")


async def test_a_shim_that_was_mute_gets_no_other_job_for_which_the_signal_to_stop_was_not_meant(
    supervisor: Supervisor, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.worker.link._ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("gproc.worker.supervisor._ENDING_SECONDS", 0.1)
    first = await shell(supervisor, "exec sleep 1000")
    shim = shim_pid(state_dir, first)
    os.kill(shim, signal.SIGSTOP)
    try:
        assert (await supervisor.stop(first)).state is JobState.RUNNING
    finally:
        os.kill(shim, signal.SIGCONT)
    assert (await supervisor.wait(first)).state is JobState.STOPPED
    await eventually(lambda: not supervisor._attachment._standby._ending)
    second = await shell(supervisor, "exec sleep 1000")
    assert shim_pid(state_dir, second) != shim


async def test_two_jobs_never_share_a_shim(supervisor: Supervisor, state_dir: Path) -> None:
    await over(supervisor)
    jobs = await asyncio.gather(*(shell(supervisor, "sleep 1000") for _ in range(5)))
    assert len({shim_pid(state_dir, job_id) for job_id in jobs}) == 5


async def test_a_shim_keeps_nothing_of_the_jobs_it_had(supervisor: Supervisor, state_dir: Path) -> None:
    seen = []
    for number in range(5):
        job_id = await shell(supervisor, f"echo {number}; exec sleep 1000")
        await until_output(supervisor, job_id, b"\n")
        pid = shim_pid(state_dir, job_id)
        seen.append((pid, open_descriptors(pid), directory_of(pid) == state_dir / "jobs" / job_id))
        await supervisor.stop(job_id)
        assert await output_of(supervisor, job_id) == b"%d\n" % number
        await eventually(lambda: bool(supervisor._attachment._standby._idle))
    assert len(set(seen)) == 1
    assert directory_of(seen[0][0]) == Path("/")


async def test_a_job_is_as_likely_a_victim_as_its_server_whichever_shim_it_has(supervisor: Supervisor) -> None:
    score = read_file("/proc/self/oom_score_adj")
    for _ in range(3):
        assert await output_of(supervisor, await shell(supervisor, "cat /proc/self/oom_score_adj")) == score
        await eventually(lambda: bool(supervisor._attachment._standby._idle))


async def test_a_job_that_may_dump_core_gets_a_shim_of_its_own(supervisor: Supervisor) -> None:
    await over(supervisor)
    job_id = await shell(supervisor, "ulimit -c", limits=Limits(core_bytes=1 << 20))
    assert await output_of(supervisor, job_id) in (b"1024\n", b"2048\n")  # in units of the shell


async def test_a_shim_that_nobody_needs_ends_soon(supervisor: Supervisor) -> None:
    await asyncio.gather(*(over(supervisor) for _ in range(5)))
    # The one that is left has had no job yet.
    await eventually(lambda: len(named("gproc-shim")) == 1)
    assert not supervisor._attachment._standby._idle


async def test_a_shim_that_is_killed_while_it_stands_by_is_not_missed(supervisor: Supervisor, state_dir: Path) -> None:
    job_id = await shell(supervisor, "exec sleep 1000")
    shim = shim_pid(state_dir, job_id)
    await supervisor.stop(job_id)
    await eventually(lambda: bool(supervisor._attachment._standby._idle))
    os.kill(shim, signal.SIGKILL)
    await eventually(lambda: not is_living(shim))
    await eventually(lambda: not supervisor._attachment._standby._idle)
    assert await output_of(supervisor, await shell(supervisor, "echo x")) == b"x\n"


async def test_a_shim_whose_directory_was_deleted_does_not_try_for_ever_to_write_there(
    supervisor: Supervisor, state_dir: Path
) -> None:
    job_id = await shell(supervisor, "exec sleep 1000")
    shim = shim_pid(state_dir, job_id)
    shutil.rmtree(state_dir / "jobs" / job_id)
    assert (await supervisor.stop(job_id)).state is JobState.STOPPED
    await eventually(lambda: not is_living(shim))


async def test_a_shim_that_stands_by_ends_when_it_is_told_to(supervisor: Supervisor, state_dir: Path) -> None:
    job_id = await shell(supervisor, "exec sleep 1000")
    shim = shim_pid(state_dir, job_id)
    await supervisor.stop(job_id)
    await eventually(lambda: bool(supervisor._attachment._standby._idle))
    os.kill(shim, signal.SIGTERM)
    await eventually(lambda: not is_living(shim))
