"""What a supervisor knows of its jobs, in memory. The truth is in the job directories; this is an index of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from gproc.errors import GprocError, JobNotFound
from gproc.model import Identity, JobId, JobState, JobStatus, StopPolicy
from gproc.store.writer import Extent
from gproc.worker.changes import Changes
from gproc.worker.link import ShimLink

__all__ = ["Entry", "JobPage", "ListQuery", "Registry"]

MAX_PAGE = 1000


@dataclass(slots=True, eq=False)
class Entry:
    """One job: its latest status, how far its output goes, and the line to its shim while it lives."""

    status: JobStatus
    nonce: str = ""
    request_id: str = ""
    stop: StopPolicy = field(default_factory=StopPolicy)
    """How it is stopped, unless the one who stops it says otherwise."""
    extent: Extent = field(default_factory=Extent)
    link: ShimLink | None = None
    failure: GprocError | None = None
    """Why it was never executed."""
    changes: Changes = field(default_factory=Changes)

    @property
    def id(self) -> JobId:
        """The id of the job."""
        return self.status.id

    def current(self) -> JobStatus:
        """Return the status with the output counted up to now."""
        extent = self.extent
        if self.status.is_final or self.status.output_bytes == extent.end:
            return self.status
        return replace(self.status, output_bytes=extent.end, dropped_bytes=extent.dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs, newest first, and the token of the page after them (empty: there is none)."""

    jobs: tuple[JobStatus, ...]
    next_page_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which jobs are wanted; what is empty selects nothing out."""

    states: frozenset[JobState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str = ""
    name: str = ""

    def matches(self, status: JobStatus) -> bool:
        """Whether *status* is wanted."""
        return (
            status.id.startswith(self.id_prefix)
            and (not self.states or status.state in self.states)
            and (not self.name or status.name == self.name)
            and all(status.labels.get(key) == value for key, value in self.labels.items())
        )


class Registry:
    """All jobs by id, by owner and by request id."""

    def __init__(self) -> None:
        self._entries: dict[JobId, Entry] = {}
        self._ids: dict[Identity, list[JobId]] = {}
        self._requests: dict[tuple[Identity, str], JobId] = {}

    def __iter__(self) -> Iterator[Entry]:
        """All entries, in no order."""
        return iter(list(self._entries.values()))

    def add(self, entry: Entry) -> None:
        """Take in a job that is not known yet."""
        self._entries[entry.id] = entry
        insort(self._ids.setdefault(entry.status.owner, []), entry.id)
        if entry.request_id:
            self._requests[entry.status.owner, entry.request_id] = entry.id

    def discard(self, entry: Entry) -> None:
        """Forget a job."""
        if self._entries.pop(entry.id, None) is None:
            return
        owned = self._ids[entry.status.owner]
        del owned[bisect_left(owned, entry.id)]
        if not owned:
            del self._ids[entry.status.owner]
        self._requests.pop((entry.status.owner, entry.request_id), None)

    def get(self, job_id: JobId, owner: Identity | None) -> Entry:
        """Return the job if it is *owner*'s (None: anybody's); raise `JobNotFound` if not, whatever the reason."""
        entry = self._entries.get(job_id)
        if entry is None or (owner is not None and entry.status.owner != owner):
            raise JobNotFound(job_id)
        return entry

    def requested(self, owner: Identity, request_id: str) -> Entry | None:
        """Return the job that *owner* started under *request_id*, if there is one."""
        job_id = self._requests.get((owner, request_id))
        return None if job_id is None else self._entries.get(job_id)

    def owned(self, owner: Identity | None) -> Iterator[Entry]:
        """Yield the jobs of *owner* (None: everybody's)."""
        if owner is None:
            yield from self
        else:
            yield from (self._entries[job_id] for job_id in list(self._ids.get(owner, ())))

    def page(self, owner: Identity | None, query: ListQuery, *, size: int, token: str) -> JobPage:
        """Return the newest *size* jobs that match, of those older than *token*."""
        ids = sorted(self._entries) if owner is None else self._ids.get(owner, [])
        size = min(size or 100, MAX_PAGE)
        position = bisect_left(ids, token) if token else len(ids)
        found: list[JobStatus] = []
        for job_id in reversed(ids[:position]):
            status = self._entries[job_id].status
            if query.matches(status):
                if len(found) == size:
                    return JobPage(jobs=tuple(found), next_page_token=found[-1].id)
                found.append(status)
        return JobPage(jobs=tuple(found))
