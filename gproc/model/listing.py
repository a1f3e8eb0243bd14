"""What is asked of a list of jobs, and what comes back: a page of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gproc.errors import InvalidArgument
from gproc.model.job import JobStatus
from gproc.model.state import JobState

__all__ = ["LARGEST_PAGE", "USUAL_PAGE", "JobPage", "ListQuery"]

USUAL_PAGE = 100
LARGEST_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which jobs are wanted: those that pass every filter; an empty one lets all pass. And which page of them.

    Raises `InvalidArgument` if a page cannot have that size.
    """

    page_size: int = USUAL_PAGE
    page_token: str = ""
    """Of the page before; empty for the first page."""
    states: frozenset[JobState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.page_size <= LARGEST_PAGE:
            raise InvalidArgument("page_size", f"{self.page_size} is not between 1 and {LARGEST_PAGE}")

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
