from __future__ import annotations

from pathlib import Path

from gproc.model import Gap, JobState
from gproc.store.directory import StateDirectory
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
