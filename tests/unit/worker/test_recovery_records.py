from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gproc.model import JobState, JobStatus
from gproc.model.document import Document
from gproc.store.directory import opened
from gproc.store.records import read_record, write_record
from gproc.store.writer import Extent
from gproc.testing.faults import Damage
from gproc.worker import Supervisor, recovery

WRONG: list[Document] = [
    {"output_bytes": "5"},
    {"output_bytes": -5},
    {"pid": 2**70},
    {"args": [1]},
    {"labels": {"a": 1}},
    {"usage": {"cpu_seconds": "much"}},
    {"ended_at": "2026-01-01T00:00:00"},
    {"shim": []},
]


async def finished_job(state_dir: Path) -> JobStatus:
    async with Supervisor(state_dir) as supervisor:
        return await supervisor.wait(await supervisor.start("sh", ["-c", "echo kept; exit 3"]))


async def found_again(state_dir: Path, job: JobStatus) -> tuple[JobStatus, bytes]:
    async with Supervisor(state_dir) as supervisor:
        return supervisor.status(job.id), await supervisor.get_output(job.id)


async def test_e6_a_record_of_a_newer_version_is_left_for_that_version(tmp_path: Path) -> None:
    job = await finished_job(tmp_path / "state")
    record = tmp_path / "state" / "jobs" / job.id / "status.json"
    ours = record.read_bytes()
    theirs = ours.replace(b'{"gproc":1,', b'{"gproc":2,')
    record.write_bytes(theirs)

    status, output = await found_again(tmp_path / "state", job)
    assert (status.state, status.exit_code, output) == (JobState.LOST, None, b"kept\n")
    assert "newer version" in status.reason
    assert record.read_bytes() == theirs

    record.write_bytes(ours)
    assert (await found_again(tmp_path / "state", job))[0] == job


def change(directory: Path, record: str, by: Document) -> None:
    """Replace a record by one that is whole, and says something else."""
    with opened(directory) as fd:
        write_record(record, read_record(record, dir_fd=fd) | by, dir_fd=fd)


@pytest.mark.parametrize("bit", [None, 3])
async def test_e6_a_damaged_record_is_kept_beside_the_one_that_says_lost(tmp_path: Path, bit: int | None) -> None:
    job = await finished_job(tmp_path / "state")
    record = tmp_path / "state" / "jobs" / job.id / "status.json"
    last_line = record.read_bytes().rindex(b'{"gproc"')
    Damage(record, 60 if bit is None else last_line + 60, bit).apply()
    damaged = record.read_bytes()

    status, output = await found_again(tmp_path / "state", job)
    assert (status.state, status.exit_code, output) == (JobState.LOST, None, b"kept\n")
    known = "it ran and wrote at least 5 bytes; how it ended cannot be known, because its status record cannot be read"
    assert status.reason.startswith(f"{known} (damaged: ")
    assert record.with_name("status.json.damaged").read_bytes() == damaged
    assert (await found_again(tmp_path / "state", job))[0] == status


async def test_e6_a_finished_job_whose_record_is_gone_says_what_is_known_and_what_is_missing(tmp_path: Path) -> None:
    job = await finished_job(tmp_path / "state")
    (tmp_path / "state" / "jobs" / job.id / "status.json").unlink()

    status, output = await found_again(tmp_path / "state", job)
    assert (status.state, status.exit_code, output) == (JobState.LOST, None, b"kept\n")
    known = "it ran and wrote at least 5 bytes; how it ended cannot be known, because its status record is missing"
    assert status.reason == known


async def test_e6_of_a_job_that_wrote_nothing_it_is_not_said_that_it_ran(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        job = await supervisor.wait(await supervisor.start("true"))
    record = tmp_path / "state" / "jobs" / job.id / "status.json"
    Damage(record, 0).apply()

    status, _ = await found_again(tmp_path / "state", job)
    assert (status.state, status.exit_code) == (JobState.LOST, None)
    assert (
        status.reason
        == "how it ended cannot be known, because its status record cannot be read (not a record of Gproc)"
    )


async def test_e6_a_whole_record_of_what_no_job_can_be_is_a_damaged_one(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        jobs = [await supervisor.start("echo", ["kept"]) for _ in WRONG]
        for job in jobs:
            await supervisor.wait(job)
    for job, wrong in zip(jobs, WRONG, strict=True):
        change(tmp_path / "state" / "jobs" / job, "status.json", wrong)

    async with Supervisor(tmp_path / "state") as supervisor:
        for job in jobs:
            status = supervisor.status(job)
            assert (status.state, status.exit_code) == (JobState.LOST, None)
            assert "its status record cannot be read" in status.reason
            assert await supervisor.get_output(job) == b"kept\n"


async def test_e6_a_first_record_with_a_time_beyond_all_counting_keeps_no_server_from_starting(
    tmp_path: Path,
) -> None:
    job = await finished_job(tmp_path / "state")
    change(tmp_path / "state" / "jobs" / job.id, "spec.json", {"timeout": 1e30})

    assert await found_again(tmp_path / "state", job) == (job, b"kept\n")


async def test_of_output_that_cannot_be_looked_at_a_final_status_is_believed(tmp_path: Path) -> None:
    job = await finished_job(tmp_path / "state")
    (tmp_path / "no directory").touch()
    assert recovery.extent_of(tmp_path / "no directory", job) == Extent(5, 5)
    with pytest.raises(NotADirectoryError):
        recovery.extent_of(tmp_path / "no directory", replace(job, state=JobState.RUNNING))
