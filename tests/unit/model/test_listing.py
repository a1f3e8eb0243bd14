from __future__ import annotations

import pytest

from gproc.errors import InvalidArgument
from gproc.model import JobState, JobStatus, ListQuery
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
    with pytest.raises(InvalidArgument, match=r"^page_size: .* is not between 1 and 1000"):
        ListQuery(page_size=size)
