"""What a supervisor knows of its jobs, in memory. The truth is in the job directories; this is an index of them.

Thousands of finished jobs are kept, so one that is final keeps only what can still be asked: `Registry.settle` lets go
of the rest. What quotas ask for is counted as jobs come, end and go, and never by walking through them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gproc.errors import GprocError, JobNotFound
from gproc.model import Identity, JobId, JobPage, JobStatus, ListQuery, StopPolicy
from gproc.store.writer import Extent
from gproc.worker.changes import Changes
from gproc.worker.link import ShimLink
from gproc.worker.sharing import Pool

__all__ = ["Entry", "Registry"]

_DEFAULT_STOP = StopPolicy()
_NO_MORE = Changes()
"""Of final jobs: nobody waits for their changes."""


@dataclass(slots=True, eq=False)
class Entry:
    """One job: its latest status, how far its output goes, and the line to its shim while it lives."""

    status: JobStatus
    nonce: str = ""
    request_id: str = ""
    stop: StopPolicy = _DEFAULT_STOP
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


@dataclass(slots=True, eq=False)
class _Owned:
    """The jobs of one owner."""

    ids: list[JobId] = field(default_factory=list)
    """Sorted: from the oldest on."""
    requests: dict[str, JobId] = field(default_factory=dict)
    live: dict[JobId, Entry] = field(default_factory=dict)
    kept_bytes: int = 0
    """Output kept of those that are final."""


class Registry:
    """All jobs by id, by owner and by request id."""

    def __init__(self) -> None:
        self._entries: dict[JobId, Entry] = {}
        self._owners: dict[Identity, _Owned] = {}
        self._pool = Pool()

    def __iter__(self) -> Iterator[Entry]:
        """All entries, in no order."""
        return iter(list(self._entries.values()))

    def add(self, entry: Entry) -> None:
        """Take in a job that is not known yet."""
        owned = self._owners.setdefault(entry.status.owner, _Owned())
        self._entries[entry.id] = owned.live[entry.id] = entry
        insort(owned.ids, entry.id)
        if entry.request_id:
            owned.requests[entry.request_id] = entry.id
        if entry.status.is_final:
            self.settle(entry)

    def settle(self, entry: Entry) -> None:
        """Let go of what a job that is final needs no more; call it once its last change was told."""
        owned = self._owners.get(entry.status.owner)
        if owned is None or owned.live.pop(entry.id, None) is not entry:
            return
        owned.kept_bytes += entry.extent.kept
        entry.status = self._pool.status(entry.status, owned.ids[bisect_left(owned.ids, entry.id)])
        entry.nonce, entry.stop, entry.link, entry.changes = "", _DEFAULT_STOP, None, _NO_MORE

    def discard(self, entry: Entry) -> None:
        """Forget a job."""
        if self._entries.pop(entry.id, None) is None:
            return
        owned = self._owners[entry.status.owner]
        if owned.live.pop(entry.id, None) is None:
            owned.kept_bytes -= entry.extent.kept
        owned.requests.pop(entry.request_id, None)
        del owned.ids[bisect_left(owned.ids, entry.id)]
        if not owned.ids:
            del self._owners[entry.status.owner]

    def get(self, job_id: JobId, owner: Identity | None) -> Entry:
        """Return the job if it is *owner*'s (None: anybody's); raise `JobNotFound` if not, whatever the reason."""
        entry = self._entries.get(job_id)
        if entry is None or (owner is not None and entry.status.owner != owner):
            raise JobNotFound(job_id)
        return entry

    def requested(self, owner: Identity, request_id: str) -> Entry | None:
        """Return the job that *owner* started under *request_id*, if there is one."""
        owned = self._owners.get(owner)
        job_id = None if owned is None else owned.requests.get(request_id)
        return None if job_id is None else self._entries.get(job_id)

    def owned(self, owner: Identity | None) -> Iterator[Entry]:
        """Yield the jobs of *owner* (None: everybody's)."""
        if owner is None:
            yield from self
        elif owner in self._owners:
            yield from [self._entries[job_id] for job_id in self._owners[owner].ids]

    def running(self, owner: Identity) -> int:
        """Return how many jobs of *owner* are not final."""
        return len(self._owners[owner].live) if owner in self._owners else 0

    def kept_bytes(self, owner: Identity) -> int:
        """Return how much output is kept of all jobs of *owner*."""
        owned = self._owners.get(owner)
        return 0 if owned is None else owned.kept_bytes + sum(entry.extent.kept for entry in owned.live.values())

    def page(self, owner: Identity | None, query: ListQuery) -> JobPage:
        """Return the page that is asked for, of the jobs of *owner* (None: of everybody's)."""
        ids = sorted(self._entries) if owner is None else self._owners.get(owner, _Owned()).ids
        found: list[JobStatus] = []
        for job_id in query.left_of(ids):
            status = self._entries[job_id].status
            if query.matches(status):
                if len(found) == query.page_size:
                    return JobPage.before_others(found)
                found.append(status)
        return JobPage(tuple(found))
