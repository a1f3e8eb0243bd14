"""What a server makes of a request: the job that is to run. Clients never see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gproc.model.identity import Identity
from gproc.model.ids import JobId
from gproc.model.job import JobRequest, JobStatus
from gproc.model.state import JobState

__all__ = ["JobSpec", "RunAs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """The Unix user a job runs as."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job that was accepted: the request, whose it is, and what the server added. Written before anything runs."""

    id: JobId
    owner: Identity
    request: JobRequest
    created_at: datetime
    nonce: str
    """A secret that the job's shim shows to prove that it is the one."""
    run_as: RunAs | None = None
    """None: the server's own user."""
    reserve_bytes: int = 0
    """Free disk space that output must leave."""
    cgroup: str = ""
    """The job's own cgroup v2, to be made by its shim; empty for none."""

    def pending(self) -> JobStatus:
        """Return the status of the job as it was accepted: not executed yet."""
        request = self.request
        return JobStatus(
            id=self.id,
            owner=self.owner,
            state=JobState.PENDING,
            command=request.command,
            args=request.args,
            name=request.name,
            labels=request.labels,
            created_at=self.created_at,
        )
