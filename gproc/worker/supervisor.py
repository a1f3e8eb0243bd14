"""All jobs of one state directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

from gproc.model import (
    Chunk,
    Gap,
    Identity,
    JobId,
    JobRequest,
    JobState,
    JobStatus,
    OutputEvent,
    OutputRange,
    RunAs,
)

LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs, newest first, and the token of the page after them."""

    jobs: tuple[JobStatus, ...]
    next_page_token: str = ""


class Supervisor:
    """All jobs of one state directory."""

    def __init__(self, state_dir: str | Path) -> None: ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def run(self) -> None:
        """Run until cancelled."""

    async def submit(self, request: JobRequest, *, owner: Identity = LOCAL, run_as: RunAs | None = None) -> JobStatus:
        """Start a job; return its status once the program was executed, or raise why it was not."""

    async def start(self, command: str, args: Sequence[str] = (), *, owner: Identity = LOCAL, **options: object) -> JobId:
        """`submit` for people: options are the fields of `JobRequest`."""

    def status(self, job_id: JobId, *, owner: Identity | None = None) -> JobStatus:
        """owner=None: any owner (trusted caller). Otherwise raises JobNotFound unless the job is that owner's."""

    def list(
        self,
        *,
        owner: Identity | None = None,
        page_size: int = 100,
        page_token: str = "",
        states: frozenset[JobState] = frozenset(),
        labels: Mapping[str, str] = {},
        id_prefix: str = "",
        name: str = "",
    ) -> JobPage: ...

    async def stop(
        self,
        job_id: JobId,
        *,
        owner: Identity | None = None,
        signal: Signals | None = None,
        grace: timedelta | None = None,
    ) -> JobStatus:
        """Return the final status; the caller (owner or "local") becomes stopped_by."""

    async def signal(self, job_id: JobId, signal: Signals, *, owner: Identity | None = None) -> JobStatus:
        """Raises JobFinished if it is over."""

    async def wait(self, job_id: JobId, *, owner: Identity | None = None) -> JobStatus: ...

    def watch(self, ids: Sequence[JobId] = (), *, owner: Identity | None = None) -> AsyncIterator[JobStatus]:
        """Current statuses, then every change (coalesced: the latest, never a backlog). Ends when all *ids* are final."""

    async def remove(self, job_id: JobId, *, owner: Identity | None = None) -> None:
        """Raises JobRunning while it runs."""

    def output_events(
        self, job_id: JobId, wanted: OutputRange = OutputRange(), *, owner: Identity | None = None
    ) -> AsyncIterator[OutputEvent]:
        """Chunk and Gap events, then exactly one End. Chunks up to 256 KiB. Raises JobNotFound, OffsetOutOfRange."""

    def watch_output(
        self, job_id: JobId, wanted: OutputRange = OutputRange(), *, owner: Identity | None = None
    ) -> AsyncIterator[Chunk | Gap]:
        """The same without the End."""

    async def get_output(self, job_id: JobId, *, owner: Identity | None = None) -> bytes: ...
