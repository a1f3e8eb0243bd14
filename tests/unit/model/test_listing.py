from __future__ import annotations

from typing import Any

import pytest

from gproc.errors import InvalidArgument
from gproc.model import JobPage, JobState, JobStatus, ListQuery, make_job_id
from gproc.model.listing import LARGEST_PAGE

JOBS = (
    JobStatus(id="a", owner="alice", state=JobState.RUNNING, command="true", name="web", labels={"a": "1"}),
    JobStatus(id="b", owner="alice", state=JobState.EXITED, command="true", labels={"a": "2"}),
    JobStatus(id="c", owner="alice", state=JobState.LOST, command="true", labels={"a": "1", "b": "2"}),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ListQuery(), "abc"),
        (ListQuery(states=frozenset({JobState.EXITED, JobState.LOST})), "bc"),
        (ListQuery(labels={"a": "1"}), "ac"),
        (ListQuery(labels={"a": "1", "b": "2"}), "c"),
        (ListQuery(name="web"), "a"),
        (ListQuery(id_prefix="b"), "b"),
        (ListQuery(id_prefix="b", name="web"), ""),
    ],
)
def test_only_jobs_that_pass_every_filter_are_wanted(query: ListQuery, found: str) -> None:
    assert "".join(job.id for job in JOBS if query.matches(job)) == found


@pytest.mark.parametrize("size", [0, -1, LARGEST_PAGE + 1])
def test_a_page_that_nobody_gets_cannot_be_asked_for(size: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^page_size: must be a whole number from 1 to 1000"):
        ListQuery(page_size=size)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", "10"),
        ("page_token", 3),
        ("states", JobState.LOST),
        ("states", {"lost"}),
        ("labels", {"a": 1}),
        ("labels", ["a"]),
        ("id_prefix", b"0"),
        ("name", 3),
    ],
)
def test_a_filter_that_is_not_of_its_kind_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{field}: must be "):
        ListQuery(**{field: value})


IDS = [make_job_id(milliseconds=number, chance=number) for number in range(4)]


def test_a_page_goes_on_after_the_last_job_of_the_one_before() -> None:
    assert list(ListQuery().left_of(IDS)) == IDS[::-1]
    newest = JobStatus(id=IDS[2], owner="alice", state=JobState.LOST, command="true")
    token = JobPage.before_others([newest]).next_page_token
    assert list(ListQuery(page_token=token).left_of(IDS)) == [IDS[1], IDS[0]]


@pytest.mark.parametrize("token", ["zzz", "3", "../x", IDS[0][:-1], IDS[0] + "0"])
def test_a_token_that_never_came_with_a_page_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^page_token: .* did not come with a page"):
        ListQuery(page_token=token).left_of(IDS)
