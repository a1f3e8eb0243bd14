"""A client of one server."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self, TypeVar

from gproc.client.connection import Connection, was_unprocessed
from gproc.client.job import Job
from gproc.client.output import Output
from gproc.client.persistence import OnBreak, Persistence
from gproc.client.resume import Patience
from gproc.client.tls import client_context
from gproc.errors import InvalidArgument, Unavailable
from gproc.model import (
    JobId,
    JobPage,
    JobRequest,
    JobState,
    JobStatus,
    Limits,
    ListQuery,
    OutputRange,
    StopPolicy,
    Stream,
    TerminalSize,
    parse_job_id,
)
from gproc.model.address import parse_address
from gproc.model.checks import check_kind, check_seconds, listed, members
from gproc.model.job import arguments_of
from gproc.model.listing import USUAL_PAGE
from gproc.model.units import parse_signal, span
from gproc.wire import Call, SignalQuery, StopQuery
from gproc.wire.calls import LIST, REMOVE, SIGNAL, START, STATUS, STOP, WAIT, WATCH

__all__ = ["Client"]

_LONGEST_TIMEOUT = 99_999_999
"""In seconds: three years, the longest that gRPC can tell a server. More is for ever."""

_Query = TypeVar("_Query")
_Reply = TypeVar("_Reply")


class Client:
    """Starts, watches and steers jobs on one server, as the one that the certificate names.

    Use it under ``async with``. It connects at the first call and again after a break; calls that can safely be
    repeated are, for as long as *patience* says. *timeout* is how many seconds a call may take, attempts included;
    `wait` and `stop` take as long as the job does. The constructor raises `ConfigError` if a file cannot be used.
    """

    def __init__(
        self,
        addr: str,
        *,
        cacert: str | Path,
        cert: str | Path,
        key: str | Path,
        timeout: float = 30.0,
        patience: Patience | None = None,
    ) -> None:
        check_seconds("timeout", timeout)
        self._connection = Connection(parse_address(addr), client_context(cacert=cacert, cert=cert, key=key))
        self._timeout = None if timeout > _LONGEST_TIMEOUT else timeout
        self._patience = patience or Patience()

    @property
    def address(self) -> str:
        """The server's HOST:PORT."""
        return str(self._connection.address)

    @property
    def may_have_asked(self) -> bool:
        """Whether any request has left that the server may have taken; False if all failed before, for certain."""
        return self._connection.may_have_asked

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; jobs go on. Calls under way fail with `Unavailable`."""
        await self._connection.aclose()

    async def connect(self) -> None:
        """Be connected; raises `Unavailable` or `CertificateRefused` at once, without trying again."""
        await self._connection.connect(seconds=self._timeout)

    async def start(
        self,
        command: str,
        args: Iterable[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        working_directory: str = "",
        name: str = "",
        labels: Mapping[str, str] | None = None,
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 -- the job's, not the call's
        stop: StopPolicy | None = None,
        stdin: bool = False,
        tty: TerminalSize | None = None,
        limits: Limits | None = None,
        request_id: str = "",
    ) -> Job:
        """Start a job; return it once the program was executed.

        *timeout* is how long the job may run. A lost reply never makes the program run twice: every attempt carries the
        same *request_id*, made up here if you give none. Raises `CommandNotFound` and other `StartFailed`,
        `InvalidArgument` (also for a request id that was used for another command), `PermissionDenied`,
        `QuotaExceeded`.
        """
        return await self.submit(
            JobRequest(
                command=command,
                args=arguments_of(args),
                env={} if env is None else env,
                working_directory=working_directory,
                name=name,
                labels={} if labels is None else labels,
                request_id=request_id,
                timeout=_duration("timeout", timeout),
                stop=stop or StopPolicy(),
                stdin=stdin,
                tty=tty,
                limits=limits or Limits(),
            )
        )

    async def submit(self, request: JobRequest) -> Job:
        """Do as `start`, with a `JobRequest`."""
        check_kind("request", request, JobRequest, "a JobRequest")
        if not request.request_id:
            request = replace(request, request_id=os.urandom(16).hex())
        status = await self._call(START, request, self._timeout)
        _check_is_what_was_asked_for(status, request)
        return Job(self, status.id, status)

    def job(self, job_id: str) -> Job:
        """Return the job with that id, without asking the server; raises `InvalidArgument` if it is no id."""
        return Job(self, parse_job_id(job_id))

    async def status(self, job_id: JobId) -> JobStatus:
        """Return the current status; raises `JobNotFound`."""
        return await self._call(STATUS, job_id, self._timeout)

    async def wait(self, job_id: JobId, *, on_break: OnBreak | None = None) -> JobStatus:
        """Return the final status, once it is; takes as long as the job does. *on_break* is told of each break."""
        return await self._call(WAIT, job_id, None, on_break)

    async def stop(
        self,
        job_id: JobId,
        *,
        signal: Signals | str | None = None,
        grace: timedelta | float | None = None,
        on_break: OnBreak | None = None,
    ) -> JobStatus:
        """Stop a job and all it started; return its final status. None means as the job was started with.

        The status is not final if the server could not reach the job's shim. *on_break* is told of each break.
        """
        query = StopQuery(
            job_id=job_id, signal=None if signal is None else parse_signal(signal), grace=_duration("grace", grace)
        )
        return await self._call(STOP, query, None, on_break)

    async def signal(self, job_id: JobId, signal: Signals | str) -> JobStatus:
        """Send a signal to a job's process group; raises `JobFinished` if it is over. It arrives once at most."""
        return await self._call_once(SIGNAL, SignalQuery(job_id=job_id, signal=parse_signal(signal)))

    async def remove(self, job_id: JobId) -> None:
        """Forget a finished job and its output; raises `JobRunning` if it is not over."""
        await self._call_once(REMOVE, job_id)

    async def page(self, query: ListQuery) -> JobPage:
        """Return one page of the caller's own jobs, newest first."""
        check_kind("query", query, ListQuery, "a ListQuery")
        return await self._call(LIST, query, self._timeout)

    def list(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        id_prefix: str = "",
        name: str = "",
        page_size: int = USUAL_PAGE,
    ) -> AsyncGenerator[JobStatus, None]:
        """Return an iterator of the caller's own jobs that pass every filter, newest first, fetched page by page."""
        return self._list(
            ListQuery(
                states=members("states", states, JobState),
                labels={} if labels is None else labels,
                id_prefix=id_prefix,
                name=name,
                page_size=page_size,
            )
        )

    async def _list(self, query: ListQuery) -> AsyncGenerator[JobStatus, None]:
        while True:
            page = await self.page(query)
            for status in page.jobs:
                yield status
            if not page.next_page_token:
                return
            query = replace(query, page_token=page.next_page_token)

    def watch(self, ids: Iterable[JobId] = (), *, patience: Patience | None = None) -> AsyncGenerator[JobStatus, None]:
        """Return an iterator of the current status of each job, then of every change.

        Without *ids* of all the caller's jobs, without end; with them it ends when all are final. A broken connection
        is mended, and what has not changed is not told again.
        """
        return self._watch(listed("ids", ids, "ids"), Persistence(patience or self._patience, self._connection))

    async def _watch(self, wanted: tuple[JobId, ...], persistence: Persistence) -> AsyncGenerator[JobStatus, None]:
        request = WATCH.write(wanted)
        known: dict[JobId, JobStatus] = {}
        while True:
            try:
                async with aclosing(self._connection.replies(WATCH, request)) as replies:
                    async for status in replies:
                        persistence.progress()
                        if known.get(status.id) != status:
                            known[status.id] = status
                            yield status
                if wanted and all(job_id in known and known[job_id].is_final for job_id in wanted):
                    return
                raise Unavailable(f"{self.address}: the stream of statuses was closed before its end")  # noqa: TRY301
            except Unavailable as error:
                await persistence.pause(error)

    def output(
        self,
        job_id: JobId,
        *,
        offset: int = 0,
        follow: bool = True,
        streams: Iterable[Stream] = (),
        tail_bytes: int | None = None,
        tail_lines: int | None = None,
        since: datetime | None = None,
        patience: Patience | None = None,
        on_status: Callable[[JobStatus], object] | None = None,
    ) -> Output:
        """Return a job's output as an iterator: see `Job.output`. *on_status* is told the status it ends with."""
        wanted = OutputRange(
            offset=offset,
            follow=follow,
            streams=members("streams", streams, Stream) or frozenset(Stream),
            tail_bytes=tail_bytes,
            tail_lines=tail_lines,
            since=since,
        )
        return Output(self._connection, parse_job_id(job_id), wanted, patience or self._patience, on_status)

    async def _call(
        self, call: Call[_Query, _Reply], query: _Query, seconds: float | None, on_break: OnBreak | None = None
    ) -> _Reply:
        """Call, and call again if the connection broke: only for what may be repeated."""
        request = call.write(query)

        async def attempt(left: float | None) -> _Reply:
            return await self._connection.call(call, request, seconds=left)

        return await Persistence(self._patience, self._connection, on_break).keep_trying(attempt, seconds=seconds)

    async def _call_once(self, call: Call[_Query, _Reply], query: _Query) -> _Reply:
        """Call, and call again only if the server certainly did not take the request: for what must not be repeated."""
        request = call.write(query)

        async def attempt(left: float | None) -> _Reply | Unavailable:
            began = time.monotonic()
            await self._connection.connect(seconds=left)
            left = None if left is None else began + left - time.monotonic()
            try:
                return await self._connection.call(call, request, seconds=left)
            except Unavailable as error:
                if was_unprocessed(error):
                    raise
                return error

        answer = await Persistence(self._patience, self._connection).keep_trying(attempt, seconds=self._timeout)
        if isinstance(answer, Unavailable):
            raise answer
        return answer


def _check_is_what_was_asked_for(status: JobStatus, request: JobRequest) -> None:
    """Refuse the job of another command: its output and its exit code would pass for those of this one."""
    if (status.command, status.args) != (request.command, tuple(request.args)):
        raise InvalidArgument(
            "request_id",
            f"{request.request_id!r} was used before, for `{shlex.join((status.command, *status.args)):.80}` "
            f"(job {status.id}); nothing was started; use another",
        )


def _duration(field: str, duration: object) -> timedelta | None:
    if duration is None or isinstance(duration, timedelta):
        return duration
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise InvalidArgument(field, f"{duration!r:.100} is neither a number of seconds nor a timedelta")
    try:
        return span(duration)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, f"{duration} is not a number of seconds that can be counted") from None
