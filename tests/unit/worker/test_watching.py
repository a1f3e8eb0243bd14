from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from gproc.model import JobState, JobStatus, make_job_id
from gproc.worker.registry import Entry, Registry
from gproc.worker.watching import Watchers

JOB = [make_job_id(milliseconds=number, chance=number) for number in range(3)]


@pytest.fixture
def entries() -> list[Entry]:
    """Two jobs of alice, and one of bob."""
    owners = ("alice", "alice", "bob")
    return [
        Entry(JobStatus(id=job_id, owner=owner, state=JobState.RUNNING, command="true"))
        for job_id, owner in zip(JOB, owners, strict=True)
    ]


@pytest.fixture
def watchers(entries: list[Entry]) -> Watchers:
    registry = Registry()
    for entry in reversed(entries):
        registry.add(entry)
    return Watchers(registry)


@pytest.mark.parametrize(
    ("named", "owner", "heard"),
    [([], None, [0, 1, 2]), ([], "alice", [0, 1]), ([1], "alice", [1]), ([1], None, [1])],
    ids=["of all", "of an owner", "of a job of an owner", "of a job"],
)
async def test_who_watches_hears_of_what_was_asked_for_and_of_no_other(
    watchers: Watchers, entries: list[Entry], named: list[int], owner: str | None, heard: list[int]
) -> None:
    wanted = [JOB[number] for number in heard]
    async with asyncio.timeout(5), aclosing(watchers.watch([entries[n] for n in named], owner)) as statuses:
        assert [(await anext(statuses)).id for _ in heard] == wanted
        next_one = asyncio.ensure_future(anext(statuses))
        await asyncio.sleep(0)
        for entry in entries:
            watchers.notify(entry)
        assert [(await next_one).id, *[(await anext(statuses)).id for _ in heard[1:]]] == wanted
        nothing_more = asyncio.ensure_future(anext(statuses))
        await asyncio.sleep(0)
        assert not nothing_more.done()
        nothing_more.cancel()
        await asyncio.wait([nothing_more])


async def test_of_a_job_that_changed_often_who_reads_slowly_hears_the_latest_once(
    watchers: Watchers, entries: list[Entry]
) -> None:
    job = entries[0]
    async with asyncio.timeout(5), aclosing(watchers.watch([job], "alice")) as statuses:
        await anext(statuses)
        for state in (JobState.STOPPING, JobState.STOPPED):
            job.status = replace(job.status, state=state)
            watchers.notify(job)
        assert [status.state async for status in statuses] == [JobState.STOPPED]


async def test_who_watches_no_more_is_forgotten(watchers: Watchers, entries: list[Entry]) -> None:
    async with aclosing(watchers.watch(entries, None)) as statuses:
        await anext(statuses)
    assert not watchers._watchers


async def test_a_watch_ends_with_the_last_of_its_jobs(watchers: Watchers, entries: list[Entry]) -> None:
    first, last = entries[:2]
    first.status = replace(first.status, state=JobState.EXITED)
    async with asyncio.timeout(5), aclosing(watchers.watch([first, last], "alice")) as statuses:
        assert [(await anext(statuses)).id for _ in range(2)] == [first.id, last.id]
        next_one = asyncio.ensure_future(anext(statuses))
        await asyncio.sleep(0)
        assert not next_one.done()
        last.status = replace(last.status, state=JobState.EXITED)
        watchers.notify(last)
        assert (await next_one).id == last.id
        assert [status async for status in statuses] == []
