"""What a server makes of a request: the job that is to run. Clients never see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gproc.model.identity import Identity
from gproc.model.ids import JobId
from gproc.model.job import JobRequest

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
