from __future__ import annotations

from datetime import UTC, datetime

from gproc.model import JobState, JobStatus, Usage
from gproc.worker.sharing import Pool


def status(job_id: str) -> JobStatus:
    word = "".join  # texts that are equal and not the same
    return JobStatus(
        id=word(job_id),
        owner=word("alice"),
        state=JobState.EXITED,
        command=word("sleep"),
        args=(word("60"),),
        exit_code=0,
        reason=word("exited with code 0"),
        ended_at=datetime(2026, 1, 1, tzinfo=UTC),
        usage=Usage(cpu_seconds=1.0),
    )


def test_what_two_statuses_have_in_common_is_there_once() -> None:
    pool = Pool()
    one, other = (pool.status(status(name), name) for name in ("a", "b"))
    for field in ("owner", "command", "args", "reason", "labels", "limits"):
        assert getattr(one, field) is getattr(other, field)


def test_a_status_says_the_same_as_before() -> None:
    assert Pool().status(status("a"), "a") == status("a")


def test_values_that_are_equal_and_of_different_types_are_not_mixed_up() -> None:
    pool = Pool()
    assert [pool.one(value) for value in (1, 1.0, True)] == [1, 1.0, True]
    assert [type(pool.one(value)) for value in (1, 1.0, True)] == [int, float, bool]


def test_what_was_met_long_ago_is_not_remembered_for_ever() -> None:
    pool = Pool()
    for number in range(10_000):
        pool.one(f"text {number}")
    assert len(pool._known) <= 1024
