from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gproc.model import JobState, JobStatus
from gproc.store.retention import Retention, expired

NOW = datetime(2024, 1, 31, tzinfo=UTC)
FOR_EVER = Retention(age=None, count=None, bytes=None)


def job(number: int, *, owner: str = "alice", age_days: int = 1, kept: int = 0, dropped: int = 0) -> JobStatus:
    return JobStatus(
        id=f"job{number}",
        owner=owner,
        state=JobState.EXITED,
        command="true",
        ended_at=NOW - timedelta(days=age_days),
        output_bytes=kept + dropped,
        dropped_bytes=dropped,
    )


def running(number: int) -> JobStatus:
    return JobStatus(id=f"job{number}", owner="alice", state=JobState.RUNNING, command="true", output_bytes=10**9)


def test_without_bounds_everything_is_kept() -> None:
    assert expired([job(1, age_days=10_000, kept=10**15)], FOR_EVER, now=NOW) == []


def test_jobs_that_ended_long_ago_are_forgotten() -> None:
    jobs = [job(1, age_days=31), job(2, age_days=30), job(3)]
    assert expired(jobs, Retention(age=timedelta(days=30)), now=NOW) == ["job1"]


def test_a_job_whose_end_is_not_known_is_not_too_old() -> None:
    status = JobStatus(id="job1", owner="alice", state=JobState.LOST, command="true")
    assert expired([status], Retention(age=timedelta(0)), now=NOW) == []


def test_of_too_many_jobs_the_oldest_are_forgotten_first() -> None:
    jobs = [job(number) for number in (3, 1, 4, 2)]
    assert expired(jobs, Retention(count=2), now=NOW) == ["job1", "job2"]


def test_of_too_many_bytes_the_oldest_are_forgotten_and_dropped_ones_do_not_count() -> None:
    jobs = [job(1, kept=10), job(2, kept=40, dropped=1000), job(3, kept=60)]
    assert expired(jobs, Retention(bytes=100), now=NOW) == ["job1"]


def test_the_newest_job_is_kept_however_big() -> None:
    assert expired([job(1), job(2, kept=1000)], Retention(bytes=100), now=NOW) == ["job1"]


def test_running_jobs_are_never_forgotten_and_do_not_count() -> None:
    assert expired([running(1), job(2), running(3)], Retention(count=1, bytes=1), now=NOW) == []


def test_f3_one_owner_at_the_bound_does_not_affect_another() -> None:
    jobs = [job(1, owner="bob"), *(job(number) for number in range(2, 6))]
    assert expired(jobs, Retention(count=3), now=NOW) == ["job2"]
