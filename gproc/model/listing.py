"""What is asked of a list of jobs, and what comes back: a page of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gproc.errors import InvalidArgument
from gproc.model.checks import check_natural, check_text, check_texts_by_name, members
from gproc.model.ids import JobId, is_job_id
from gproc.model.job import JobStatus
from gproc.model.state import JobState

__all__ = ["LARGEST_PAGE", "USUAL_PAGE", "JobPage", "ListQuery"]

USUAL_PAGE = 100
LARGEST_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which jobs are wanted: those that pass every filter; an empty one lets all pass. And which page of them.

    Raises `InvalidArgument`, naming the field, if something is not of its kind or a page cannot have that size.
    """

    page_size: int = USUAL_PAGE
    page_token: str = ""
    """Of the page before; empty for the first page."""
    states: frozenset[JobState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        check_natural("page_size", self.page_size, least=1, most=LARGEST_PAGE)
        members("states", self.states, JobState)
        check_texts_by_name("labels", self.labels)
        for name in ("page_token", "id_prefix", "name"):
            check_text(name, getattr(self, name))

    def left_of(self, ids: Sequence[JobId]) -> Iterator[JobId]:
        """Yield those of *ids*, which are sorted, that no page before this one has had: the newest first.

        Raises `InvalidArgument` if the token is not one that a `JobPage` has: to callers it may be any text.
        """
        if self.page_token and not is_job_id(self.page_token):
            raise InvalidArgument("page_token", f"{self.page_token!r:.100} did not come with a page")
        end = bisect_left(ids, self.page_token) if self.page_token else len(ids)
        return reversed(ids[:end])

    def matches(self, status: JobStatus) -> bool:
        """Whether *status* passes every filter."""
        return (
            status.id.startswith(self.id_prefix)
            and (not self.states or status.state in self.states)
            and (not self.name or status.name == self.name)
            and all(status.labels.get(key) == value for key, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first, and the token of the page after them; empty on the last."""

    jobs: tuple[JobStatus, ...]
    next_page_token: str = ""

    @classmethod
    def before_others(cls, jobs: Sequence[JobStatus]) -> JobPage:
        """Return a page that is not the last: the id of its last job is the token, see `ListQuery.left_of`."""
        return cls(tuple(jobs), jobs[-1].id)
