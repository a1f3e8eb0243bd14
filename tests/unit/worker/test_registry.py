from __future__ import annotations

import pytest

from gproc.errors import JobNotFound
from gproc.model import JobState, JobStatus, StopPolicy
from gproc.worker.registry import MAX_PAGE, Entry, ListQuery, Registry

ALL = ListQuery()


def entry(job_id: str, owner: str = "alice", state: JobState = JobState.RUNNING, **about: object) -> Entry:
    request_id = str(about.pop("request_id", ""))
    status = JobStatus(id=job_id, owner=owner, state=state, command="true", **about)  # type: ignore[arg-type]  # by name
    return Entry(status=status, nonce="", request_id=request_id, stop=StopPolicy())


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for number in (3, 1, 5, 2, 4):
        registry.add(entry(f"job{number}"))
    registry.add(entry("job6", "bob", request_id="r"))
    return registry


def ids(registry: Registry, owner: str | None, query: ListQuery = ALL, size: int = 0, token: str = "") -> list[str]:
    return [status.id for status in registry.page(owner, query, size=size, token=token).jobs]


def test_jobs_are_listed_from_the_newest_on(registry: Registry) -> None:
    assert ids(registry, "alice") == ["job5", "job4", "job3", "job2", "job1"]
    assert ids(registry, None) == ["job6", "job5", "job4", "job3", "job2", "job1"]
    assert ids(registry, "carol") == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_all_pages_together_are_the_list(registry: Registry, size: int) -> None:
    found: list[str] = []
    token = ""
    while True:
        page = registry.page("alice", ALL, size=size, token=token)
        assert len(page.jobs) <= size
        found += [status.id for status in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert found == ["job5", "job4", "job3", "job2", "job1"]


def test_a_full_last_page_has_no_token(registry: Registry) -> None:
    assert registry.page("alice", ALL, size=5, token="").next_page_token == ""
    assert registry.page("alice", ALL, size=4, token="").next_page_token == "job2"


def test_a_page_goes_on_where_the_last_one_ended_whatever_came_or_went(registry: Registry) -> None:
    token = registry.page("alice", ALL, size=2, token="").next_page_token
    registry.discard(registry.get("job4", None))
    registry.add(entry("job9"))
    assert ids(registry, "alice", token=token) == ["job3", "job2", "job1"]


def test_a_page_is_never_larger_than_the_largest() -> None:
    registry = Registry()
    for number in range(MAX_PAGE + 1):
        registry.add(entry(f"job{number:05}"))
    assert len(ids(registry, "alice", size=10**9)) == MAX_PAGE
    assert len(ids(registry, "alice")) == 100


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ListQuery(states=frozenset({JobState.EXITED, JobState.LOST})), ["c", "b"]),
        (ListQuery(labels={"a": "1"}), ["c", "a"]),
        (ListQuery(labels={"a": "1", "b": "2"}), ["c"]),
        (ListQuery(name="web"), ["a"]),
        (ListQuery(id_prefix="b"), ["b"]),
        (ListQuery(id_prefix="b", name="web"), []),
    ],
)
def test_only_jobs_that_match_are_listed(query: ListQuery, found: list[str]) -> None:
    registry = Registry()
    registry.add(entry("a", name="web", labels={"a": "1"}))
    registry.add(entry("b", state=JobState.EXITED, labels={"a": "2"}))
    registry.add(entry("c", state=JobState.LOST, labels={"a": "1", "b": "2"}))
    assert ids(registry, "alice", query) == found


def test_g12_another_owners_job_is_not_told_from_one_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(JobNotFound) as foreign:
        registry.get("job6", "alice")
    with pytest.raises(JobNotFound) as missing:
        registry.get("job7", "alice")
    assert str(foreign.value) == str(missing.value).replace("job7", "job6")
    assert registry.get("job6", None) is registry.get("job6", "bob")


def test_a5_a_request_id_is_its_owners_alone_and_ends_with_its_job(registry: Registry) -> None:
    assert registry.requested("bob", "r") is registry.get("job6", None)
    assert registry.requested("alice", "r") is None
    registry.discard(registry.get("job6", None))
    assert registry.requested("bob", "r") is None


def test_a_job_that_is_discarded_is_gone_from_everywhere(registry: Registry) -> None:
    gone = registry.get("job6", None)
    registry.discard(gone)
    registry.discard(gone)
    assert (list(registry.owned("bob")), ids(registry, "bob")) == ([], [])
    assert gone not in list(registry)


def test_jobs_of_one_owner_or_of_all_are_walked_through(registry: Registry) -> None:
    assert {each.id for each in registry.owned("bob")} == {"job6"}
    assert len(list(registry.owned(None))) == 6
