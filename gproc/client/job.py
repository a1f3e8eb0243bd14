"""A job of the server, in the hands of a client."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from signal import Signals
from typing import TYPE_CHECKING

from gproc.client.output import Output
from gproc.client.resume import Patience
from gproc.model import JobId, JobStatus, Stream

if TYPE_CHECKING:
    from gproc.client.client import Client

__all__ = ["Job"]


class Job:
    """One job: its output, its status, and the ways to steer it. Comes from `Client.start` or `Client.job`."""

    def __init__(self, client: Client, job_id: JobId, status: JobStatus | None = None) -> None:
        self._client = client
        self.id = job_id
        self.status = status
        """The last status known, None if none is; final once `output` has ended, or `wait` or `stop` has returned."""

    def __repr__(self) -> str:
        state = "" if self.status is None else f" {self.status.state.value}"
        return f"<Job {self.id}{state}>"

    def output(
        self,
        *,
        offset: int = 0,
        follow: bool = True,
        streams: Iterable[Stream] = (),
        tail_bytes: int | None = None,
        tail_lines: int | None = None,
        since: datetime | None = None,
        patience: Patience | None = None,
    ) -> Output:
        """Return the output as an iterator of `Chunk` and `Gap`: replay, then live, until the job is final.

        *offset* is the first byte wanted; *tail_bytes*, *tail_lines* and *since* begin later. Without *follow* it ends
        at what is there now. No *streams* means both. *patience* says how long a broken connection is mended.
        """
        return self._client.output(
            self.id,
            offset=offset,
            follow=follow,
            streams=streams,
            tail_bytes=tail_bytes,
            tail_lines=tail_lines,
            since=since,
            patience=patience,
            on_status=self._learn,
        )

    async def refresh(self) -> JobStatus:
        """Ask for the current status and return it."""
        return self._learn(await self._client.status(self.id))

    async def wait(self) -> JobStatus:
        """Return the final status, once it is. If cancelled, the job goes on."""
        return self._learn(await self._client.wait(self.id))

    async def stop(self, *, signal: Signals | str | None = None, grace: timedelta | float | None = None) -> JobStatus:
        """Stop the job and all it started; return the final status. If cancelled, the server stops it all the same."""
        return self._learn(await self._client.stop(self.id, signal=signal, grace=grace))

    async def signal(self, signal: Signals | str) -> JobStatus:
        """Send a signal to the job's process group; raises `JobFinished` if it is over."""
        return self._learn(await self._client.signal(self.id, signal))

    async def remove(self) -> None:
        """Forget the finished job and its output; raises `JobRunning` if it is not over."""
        await self._client.remove(self.id)

    def _learn(self, status: JobStatus) -> JobStatus:
        self.status = status
        return status
