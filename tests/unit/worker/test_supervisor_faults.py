from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from gproc_support.processes import is_living
from gproc_support.supervision import output_of

from gproc.errors import InternalError, InvalidArgument, JobNotFound, Unavailable
from gproc.model import JobRequest, JobState, JobStatus
from gproc.store.retention import Retention
from gproc.store.writer import Extent
from gproc.worker import Supervisor, SupervisorSettings, recovery
from gproc.worker.holder import holder_of_lock


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    settings = SupervisorSettings(retention=Retention(age=None, count=0, bytes=None))
    async with Supervisor(tmp_path / "state", settings) as supervisor:
        yield supervisor
        for job in supervisor.list().jobs:
            await supervisor.stop(job.id, signal=signal.SIGKILL, grace=timedelta(0))


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def frozen(directory: Path) -> Iterator[None]:
    """Keep everybody, root too, from making or deleting anything in *directory*; skip the test where nothing can."""
    if os.geteuid() == 0:
        if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", directory], check=False).returncode:
            pytest.skip("nothing keeps root from deleting here")
        release = ["chattr", "-i", str(directory)]
    else:
        directory.chmod(0o500)
        release = ["chmod", "700", str(directory)]
    try:
        yield
    finally:
        subprocess.run(release, check=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_retention_goes_on_when_an_owner_removes_a_job_first(supervisor: Supervisor) -> None:
    jobs = [await supervisor.start("true") for _ in range(2)]
    for job in jobs:
        await supervisor.wait(job)
    await asyncio.gather(supervisor._retain(), supervisor.remove(jobs[1]))
    assert supervisor.list().jobs == ()


async def test_a_job_whose_files_cannot_be_deleted_is_not_forgotten(supervisor: Supervisor, tmp_path: Path) -> None:
    job = await supervisor.start("echo", ["all of it"])
    await supervisor.wait(job)
    with frozen(tmp_path / "state" / "jobs"):
        with pytest.raises(InternalError, match="cannot be deleted"):
            await supervisor.remove(job)
        await supervisor._retain()
        assert [status.id for status in supervisor.list().jobs] == [job]
        assert await output_of(supervisor, job) == b"all of it\n"
    await supervisor.remove(job)
    assert supervisor.list().jobs == ()


async def test_that_a_job_cannot_be_deleted_is_logged_once_whoever_tries(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = await supervisor.start("true")
    await supervisor.wait(job)
    with frozen(tmp_path / "state" / "jobs"):
        for _ in range(3):
            await supervisor._retain()
        with pytest.raises(InternalError, match="cannot be deleted"):
            await supervisor.remove(job)
    assert [record.getMessage() for record in caplog.records] == ["job not removed"]
    await supervisor._retain()
    assert supervisor.list().jobs == ()


async def test_a_job_whose_remover_left_before_it_could_not_be_deleted_is_kept_and_logged(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = await supervisor.start("true")
    await supervisor.wait(job)
    with frozen(tmp_path / "state" / "jobs"):
        removing = asyncio.ensure_future(supervisor.remove(job))
        await asyncio.sleep(0)
        removing.cancel()
        await until(lambda: caplog.records)
    assert removing.cancelled()
    assert [status.id for status in supervisor.list().jobs] == [job]


async def test_a_stop_with_a_negative_grace_is_refused_and_the_job_goes_on(supervisor: Supervisor) -> None:
    job = await supervisor.start("sleep", ["60"])
    with pytest.raises(InvalidArgument, match="grace"):
        await supervisor.stop(job, grace=timedelta(seconds=-1))
    assert supervisor.status(job).state is JobState.RUNNING
    assert (await supervisor.stop(job)).state is JobState.STOPPED


async def test_want_of_descriptors_makes_no_job_lost(supervisor: Supervisor) -> None:
    job = await supervisor.start("sleep", ["60"])
    entry = supervisor._registry.get(job, None)
    assert entry.link is not None
    with no_more_descriptors():
        entry.link.close()
        await asyncio.sleep(0.2)
        assert supervisor.status(job).state is JobState.RUNNING
    await until(lambda: entry.link)
    assert (await supervisor.stop(job)).state is JobState.STOPPED


async def test_want_of_descriptors_hides_no_output_of_a_job_that_is_found_lost(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recovery.extent_of

    def extent_of(directory: Path, status: JobStatus) -> Extent:
        monkeypatch.setattr(recovery, "extent_of", seen)
        with no_more_descriptors():
            return seen(directory, status)

    monkeypatch.setattr(recovery, "extent_of", extent_of)
    job = await supervisor.start("sh", ["-c", "echo said; exec sleep 60"])
    await until(lambda: supervisor.status(job).output_bytes)
    shim = holder_of_lock(supervisor._state.job(job) / "spec.json")
    assert shim is not None
    os.kill(shim, signal.SIGKILL)
    assert (await supervisor.wait(job)).state is JobState.LOST
    assert await supervisor.get_output(job) == b"said\n"


async def test_a_reader_for_whom_there_is_no_descriptor_is_told_to_try_again(supervisor: Supervisor) -> None:
    job = await supervisor.start("sleep", ["60"])
    async with aclosing(supervisor.watch_output(job)) as pieces:
        with no_more_descriptors(), pytest.raises(Unavailable, match="Too many open files; try again"):
            await anext(pieces)


async def test_a_job_whose_directory_was_deleted_is_lost_and_does_not_say_where_it_was(supervisor: Supervisor) -> None:
    job = await supervisor.start("sleep", ["60"])
    directory = supervisor._state.job(job)
    shim, program = holder_of_lock(directory / "spec.json"), supervisor.status(job).pid
    assert shim is not None
    assert program is not None
    shutil.rmtree(directory)
    os.kill(shim, signal.SIGKILL)
    assert (await supervisor.wait(job)).reason == "its record cannot be used: No such file or directory"
    await until(lambda: not is_living(program))  # the spawner sees to that, as long as there is one


async def test_that_a_shim_is_mute_is_logged_once_however_often_it_is_asked(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gproc.worker.attachment._LOST_AFTER_SECONDS", 0.05)
    job = await supervisor.start("sleep", ["60"])
    entry = supervisor._registry.get(job, None)
    shim = holder_of_lock(supervisor._state.job(job) / "spec.json")
    assert shim is not None
    assert entry.link is not None
    os.kill(shim, signal.SIGSTOP)
    entry.link.close()
    async with asyncio.timeout(10), aclosing(supervisor.watch([job])) as statuses:
        for _ in range(4):
            await anext(statuses)
    monkeypatch.undo()
    os.kill(shim, signal.SIGCONT)
    await until(lambda: entry.link)
    assert [record.getMessage() for record in caplog.records] == ["job not reached"]


async def test_a_job_whose_shim_dies_at_once_is_lost_and_never_run_again(supervisor: Supervisor) -> None:
    for number in range(5):
        request = JobRequest(command="sh", args=("-c", "kill -9 $PPID; sleep 60"), request_id=f"request {number}")
        job = (await supervisor.submit(request)).id
        assert (await supervisor.submit(request)).id == job
        assert (await supervisor.wait(job)).state is JobState.LOST


async def test_a_request_that_dies_with_the_spawner_leaves_no_trace(supervisor: Supervisor) -> None:
    spawner = supervisor._launcher.pid
    assert spawner is not None
    os.kill(spawner, signal.SIGSTOP)
    starting = asyncio.ensure_future(supervisor.start("true"))
    await until(lambda: [entry.link for entry in supervisor._registry if entry.link])
    (job,) = supervisor.list().jobs
    os.kill(spawner, signal.SIGKILL)
    with pytest.raises(Unavailable, match="try again"):
        await starting
    with pytest.raises(JobNotFound):
        supervisor.status(job.id)
    assert supervisor._state.job_ids() == []
