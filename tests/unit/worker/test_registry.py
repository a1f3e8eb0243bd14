from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gproc.errors import JobNotFound
from gproc.model import JobState, JobStatus, ListQuery, StopPolicy, Usage, make_job_id
from gproc.model.document import status_from_document, status_to_document
from gproc.store.writer import Extent
from gproc.worker.registry import Entry, Registry

ALL = ListQuery()
JOB = [make_job_id(milliseconds=number, chance=number) for number in range(10)]


def entry(job_id: str, owner: str = "alice", state: JobState = JobState.RUNNING, **about: object) -> Entry:
    request_id = str(about.pop("request_id", ""))
    status = JobStatus(id=job_id, owner=owner, state=state, command="true", **about)  # type: ignore[arg-type]  # by name
    return Entry(status=status, nonce="", request_id=request_id, stop=StopPolicy())


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for number in (3, 1, 5, 2, 4):
        registry.add(entry(JOB[number]))
    registry.add(entry(JOB[6], "bob", request_id="r"))
    return registry


def ids(registry: Registry, owner: str | None, query: ListQuery = ALL) -> list[str]:
    return [status.id for status in registry.page(owner, query).jobs]


def test_jobs_are_listed_from_the_newest_on(registry: Registry) -> None:
    assert ids(registry, "alice") == [JOB[5], JOB[4], JOB[3], JOB[2], JOB[1]]
    assert ids(registry, None) == [JOB[6], JOB[5], JOB[4], JOB[3], JOB[2], JOB[1]]
    assert ids(registry, "carol") == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_all_pages_together_are_the_list(registry: Registry, size: int) -> None:
    found: list[str] = []
    token = ""
    while True:
        page = registry.page("alice", ListQuery(page_size=size, page_token=token))
        assert len(page.jobs) <= size
        found += [status.id for status in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert found == [JOB[5], JOB[4], JOB[3], JOB[2], JOB[1]]


def test_a_full_last_page_has_no_token(registry: Registry) -> None:
    assert registry.page("alice", ListQuery(page_size=5)).next_page_token == ""
    assert registry.page("alice", ListQuery(page_size=4)).next_page_token == JOB[2]


def test_a_page_goes_on_where_the_last_one_ended_whatever_came_or_went(registry: Registry) -> None:
    token = registry.page("alice", ListQuery(page_size=2)).next_page_token
    registry.discard(registry.get(JOB[4], None))
    registry.add(entry(JOB[9]))
    assert ids(registry, "alice", ListQuery(page_token=token)) == [JOB[3], JOB[2], JOB[1]]


def test_a_page_has_only_jobs_that_match_and_its_token_counts_them_only() -> None:
    registry = Registry()
    for number, state in enumerate([JobState.LOST, JobState.RUNNING, JobState.LOST, JobState.RUNNING, JobState.LOST]):
        registry.add(entry(JOB[number], state=state))
    page = registry.page("alice", ListQuery(states=frozenset({JobState.LOST}), page_size=2))
    assert ([status.id for status in page.jobs], page.next_page_token) == ([JOB[4], JOB[2]], JOB[2])


def test_g12_another_owners_job_is_not_told_from_one_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(JobNotFound) as foreign:
        registry.get(JOB[6], "alice")
    with pytest.raises(JobNotFound) as missing:
        registry.get(JOB[7], "alice")
    assert str(foreign.value) == str(missing.value).replace(JOB[7], JOB[6])
    assert registry.get(JOB[6], None) is registry.get(JOB[6], "bob")


def test_a5_a_request_id_is_its_owners_alone_and_ends_with_its_job(registry: Registry) -> None:
    assert registry.requested("bob", "r") is registry.get(JOB[6], None)
    assert registry.requested("alice", "r") is None
    registry.discard(registry.get(JOB[6], None))
    assert registry.requested("bob", "r") is None


def test_a_job_that_is_discarded_is_gone_from_everywhere(registry: Registry) -> None:
    gone = registry.get(JOB[6], None)
    registry.discard(gone)
    registry.discard(gone)
    assert (list(registry.owned("bob")), ids(registry, "bob")) == ([], [])
    assert gone not in list(registry)
    assert "bob" not in registry._owners


def test_jobs_of_one_owner_or_of_all_are_walked_through(registry: Registry) -> None:
    assert {each.id for each in registry.owned("bob")} == {JOB[6]}
    assert len(list(registry.owned(None))) == 6


def test_running_jobs_are_counted_as_they_come_end_and_go(registry: Registry) -> None:
    assert (registry.running("alice"), registry.running("bob"), registry.running("carol")) == (5, 1, 0)
    ending = registry.get(JOB[2], None)
    ending.status = replace(ending.status, state=JobState.EXITED)
    registry.settle(ending)
    registry.settle(ending)
    assert registry.running("alice") == 4
    registry.discard(ending)
    registry.discard(registry.get(JOB[1], None))
    registry.add(entry(JOB[7], state=JobState.LOST))
    assert registry.running("alice") == 3


def test_a_job_says_how_far_its_output_goes_now_until_it_is_final() -> None:
    job = entry(JOB[1])
    assert job.current() is job.status
    job.extent = Extent(end=10, kept=7, dropped=3)
    assert job.current() == replace(job.status, output_bytes=10, dropped_bytes=3)
    job.status = replace(job.current(), state=JobState.EXITED)
    job.extent = Extent(end=11, kept=8, dropped=3)
    assert job.current() is job.status


def test_kept_output_is_counted_whether_its_job_runs_or_ended(registry: Registry) -> None:
    for number in (1, 2):
        registry.get(JOB[number], None).extent = Extent(end=10 * number, kept=10 * number)
    ended = registry.get(JOB[2], None)
    ended.status = replace(ended.status, state=JobState.EXITED)
    registry.settle(ended)
    registry.settle(ended)
    assert registry.kept_bytes("alice") == 30
    registry.discard(ended)
    assert registry.kept_bytes("alice") == 10
    assert registry.kept_bytes("carol") == 0


def test_a_job_that_is_final_keeps_what_can_still_be_asked_and_nothing_else() -> None:
    registry = Registry()
    ended = entry("a", state=JobState.EXITED, request_id="r", name="web", labels={"a": "1"})
    ended.nonce, ended.stop = "secret", StopPolicy(grace=timedelta(seconds=1))
    before = ended.status
    registry.add(ended)
    assert ended.status == before
    assert registry.requested("alice", "r") is ended
    assert (ended.nonce, ended.stop, ended.link) == ("", StopPolicy(), None)


def test_ten_thousand_finished_jobs_take_less_than_a_kilobyte_each_and_give_it_back() -> None:
    registry = Registry()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            registry.add(finished(number))
        kept = tracemalloc.get_traced_memory()[0] - before
        for job in registry:
            registry.discard(job)
        del job
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept / 10_000 < 1000
    assert left < 1_000_000  # what is remembered to be shared, and tables that do not shrink


def finished(number: int) -> Entry:
    """Return the entry of a job as it is read from a record of its own."""
    moment = datetime.fromtimestamp(1_700_000_000 + number, UTC)
    status = JobStatus(
        id=make_job_id(milliseconds=number, chance=number),
        owner="alice",
        state=JobState.EXITED,
        command="/usr/bin/env",
        args=("python3", "-c", "pass"),
        pid=100_000 + number,
        exit_code=0,
        reason="exited with code 0",
        created_at=moment,
        started_at=moment + timedelta(milliseconds=3),
        ended_at=moment + timedelta(seconds=1),
        output_bytes=1000 + number,
        usage=Usage(cpu_seconds=number / 1000, max_rss_bytes=10_000_000 + number),
    )
    read = status_from_document(json.loads(json.dumps(status_to_document(status))))
    extent = Extent(read.output_bytes, read.output_bytes, 0)
    return Entry(status=read, nonce=f"{number:032x}", request_id=f"{number:032x}", stop=StopPolicy(), extent=extent)
