from __future__ import annotations

import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gproc.errors import StateError
from gproc.model import Gap, JobRequest, JobState, JobStatus, StopPolicy, make_job_id
from gproc.model.document import spec_to_document
from gproc.model.spec import JobSpec
from gproc.store.directory import StateDirectory, opened
from gproc.store.records import create_record
from gproc.testing.faults import few_descriptors
from gproc.worker import Supervisor, recovery


def record_of_a_start(tmp_path: Path, spec: bytes) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.open()
    for path in state.jobs.iterdir():
        for file in path.iterdir():
            file.unlink()
        (path / "spec.json").write_bytes(spec)
    return state


async def test_a4_a_job_that_was_recorded_and_never_executed_is_forgotten(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        job = await supervisor.start("true")
        await supervisor.wait(job)
    spec = (tmp_path / "state" / "jobs" / job / "spec.json").read_bytes()
    state = record_of_a_start(tmp_path, spec)
    assert recovery.read_jobs(state) == []
    assert state.job_ids() == []
    state.close()


def test_a4_of_a_job_that_was_being_started_is_known_all_that_was_asked_for(tmp_path: Path) -> None:
    request = JobRequest(
        command="sleep",
        args=("1000",),
        name="web",
        labels={"tier": "front"},
        stop=StopPolicy(signal=signal.SIGINT, grace=timedelta(seconds=3)),
        request_id="once",
    )
    spec = JobSpec(
        id=make_job_id(milliseconds=1, chance=1),
        owner="alice",
        request=request,
        created_at=datetime.now(UTC),
        nonce="secret",
    )
    state = StateDirectory(tmp_path / "state")
    state.open()
    state.job(spec.id).mkdir()
    with opened(state.job(spec.id)) as fd:
        create_record("spec.json", spec_to_document(spec), dir_fd=fd)
    (state.job(spec.id) / "output").touch()

    (entry,) = recovery.read_jobs(state)
    state.close()
    assert entry.status == JobStatus(
        id=spec.id,
        owner="alice",
        state=JobState.PENDING,
        command="sleep",
        args=("1000",),
        name="web",
        labels={"tier": "front"},
        created_at=spec.created_at,
    )
    assert (entry.nonce, entry.request_id, entry.stop) == ("secret", "once", request.stop)


async def test_e6_records_that_are_of_another_job_make_no_job(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        ids = [await supervisor.start("true", owner=owner) for owner in ("alice", "bob", "carol")]
        for job in ids:
            await supervisor.wait(job)
    state = StateDirectory(tmp_path / "state")
    state.open()
    alices, bobs, carols = map(state.job, ids)
    shutil.copy(alices / "status.json", bobs)
    renamed = carols.rename(state.job(make_job_id(milliseconds=1, chance=1)))

    assert [entry.id for entry in recovery.read_jobs(state)] == ids[:1]
    state.close()
    assert {path.name for path in (state.path / "set-aside").iterdir()} == {bobs.name, renamed.name}


async def test_e6_want_of_descriptors_at_the_start_sets_no_job_aside(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        job = await supervisor.wait(await supervisor.start("true"))
    state = StateDirectory(tmp_path / "state")
    state.open()
    with few_descriptors(spare=1), pytest.raises(StateError, match="cannot be read now: Too many open files"):
        recovery.read_jobs(state)
    assert [entry.status for entry in recovery.read_jobs(state)] == [job]
    state.close()


@pytest.mark.parametrize(("left", "kept_in"), [("output", ["set-aside"]), ("spec.json.new", [])])
def test_e6_what_has_no_first_record_is_kept_if_it_may_have_run(tmp_path: Path, left: str, kept_in: list[str]) -> None:
    state = StateDirectory(tmp_path / "state")
    state.open()
    job = make_job_id(milliseconds=1, chance=1)
    state.job(job).mkdir()
    (state.job(job) / left).touch()
    assert recovery.read_jobs(state) == []
    state.close()
    assert [path.parts[-3] for path in state.path.glob(f"*/{job}/*")] == kept_in


async def test_a4_a_job_that_may_have_been_executed_is_lost_and_stays_known(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        job = await supervisor.start("true")
        await supervisor.wait(job)
    (tmp_path / "state" / "jobs" / job / "status.json").unlink()
    for _ in range(2):
        async with Supervisor(tmp_path / "state") as supervisor:
            assert supervisor.status(job).state is JobState.LOST


async def test_d8_a_finished_job_whose_output_was_deleted_stays_known_and_reads_as_a_gap(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        job = await supervisor.start("echo", ["gone"])
        before = await supervisor.wait(job)
    (tmp_path / "state" / "jobs" / job / "output").unlink()
    async with Supervisor(tmp_path / "state") as supervisor:
        assert supervisor.status(job) == before
        assert [piece async for piece in supervisor.watch_output(job)] == [Gap(0, 5)]
