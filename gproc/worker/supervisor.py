"""All jobs of one state directory."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Any, Self

from gproc.errors import (
    GprocError,
    InternalError,
    JobFinished,
    JobNotFound,
    JobRunning,
    OffsetOutOfRange,
    PermissionDenied,
    QuotaExceeded,
    StateError,
    Unavailable,
)
from gproc.model import (
    Chunk,
    End,
    Gap,
    Identity,
    JobId,
    JobRequest,
    JobSpec,
    JobState,
    JobStatus,
    Limits,
    OutputEvent,
    OutputRange,
    RunAs,
    StopPolicy,
    make_job_id,
)
from gproc.model.document import spec_to_document
from gproc.store.directory import StateDirectory, opened
from gproc.store.reader import OutputCursor, WouldBlockError
from gproc.store.records import write_record
from gproc.store.retention import expired
from gproc.store.writer import Extent
from gproc.worker import recovery
from gproc.worker.cgroup import delegated_subtree, prepare_subtree
from gproc.worker.changes import Changes
from gproc.worker.launcher import Launcher
from gproc.worker.link import ShimLink
from gproc.worker.registry import Entry, JobPage, ListQuery, Registry
from gproc.worker.settings import SupervisorSettings

__all__ = ["LOCAL", "Supervisor"]

LOCAL: Identity = "local"
"""The owner of jobs that are started without a network."""

_START_SECONDS = 30.0
_ADOPT_SECONDS = 5.0
_BEYOND_GRACE_SECONDS = 5.0
_LOST_AFTER_SECONDS = 2.0
_RETENTION_EVERY_SECONDS = 60.0
_CHUNKS_WITHOUT_A_BREAK = 16

_log = logging.getLogger("gproc.worker")


class Supervisor:
    """Starts, stops, watches and reports on the jobs of one state directory.

    Use it as an async context manager, or ``await run()`` until cancelled. Jobs do not depend on it: when it ends, or
    is killed, they go on, and the next supervisor of the same directory finds them again.

    Methods that take *owner* treat jobs of other owners as if they did not exist; ``owner=None`` means a caller who
    may see all. They raise `JobNotFound` for a job that is not there.
    """

    def __init__(self, state_dir: str | Path, settings: SupervisorSettings | None = None) -> None:
        self._state = StateDirectory(state_dir)
        self._settings = settings or SupervisorSettings()
        self._registry = Registry()
        self._launcher = Launcher()
        self._changes = Changes()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cgroups: Path | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        """Lock the directory, find the jobs in it again, and be ready to start more.

        Raises `StateError` if the directory cannot be used.
        """
        await asyncio.to_thread(self._state.open)
        try:
            self._cgroups = _cgroups(self._settings.cgroup)
            entries, _ = await asyncio.gather(asyncio.to_thread(recovery.read_jobs, self._state), self._launcher.open())
            for entry in entries:
                self._registry.add(entry)
            await self._adopt([entry for entry in entries if not entry.status.is_final])
        except BaseException:
            await self._close()
            raise
        self._own(self._retain_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the directory. Jobs go on."""
        await self._close()

    async def run(self) -> None:
        """Supervise until cancelled."""
        async with self:
            await asyncio.Event().wait()

    # Starting

    async def start(
        self,
        command: str,
        args: Sequence[str] = (),
        *,
        owner: Identity = LOCAL,
        run_as: RunAs | None = None,
        **options: Any,
    ) -> JobId:
        """Start *command* and return the id of its job; *options* are the other fields of `JobRequest`.

        Raises like `submit`.
        """
        request = JobRequest(command=command, args=tuple(args), **options)
        return (await self.submit(request, owner=owner, run_as=run_as)).id

    async def submit(self, request: JobRequest, *, owner: Identity = LOCAL, run_as: RunAs | None = None) -> JobStatus:
        """Start a job; return its status once the program was executed.

        A request with the `request_id` of an earlier one of the same owner returns that job instead. The record of
        the job is on the disk before the program runs. Raises `StartFailed`, `InvalidArgument`, `QuotaExceeded` or
        `Unavailable`; then no trace of the job is left. If cancelled, the job is started all the same.
        """
        if request.request_id:
            earlier = self._registry.requested(owner, request.request_id)
            if earlier is not None:
                return await self._started(earlier)
        spec = self._accept(request, owner, run_as)
        entry = recovery.new_entry(spec, recovery.pending_status(spec))
        self._registry.add(entry)
        await asyncio.shield(self._own(self._launch(spec, entry)))
        if entry.status.state is JobState.PENDING:
            raise Unavailable(f"job {entry.id}: its shim is slow to start; ask for the job's status later")
        return entry.status

    def _accept(self, request: JobRequest, owner: Identity, run_as: RunAs | None) -> JobSpec:
        settings = self._settings
        if self._closing:
            raise Unavailable("the supervisor is closing; try again")
        if settings.owner_output_bytes is not None:
            kept = sum(entry.extent.kept for entry in self._registry.owned(owner))
            if kept >= settings.owner_output_bytes:
                raise QuotaExceeded(
                    f"{owner}: {kept} bytes of output are kept, the limit is {settings.owner_output_bytes}; "
                    "remove finished jobs with `gproc remove`"
                )
        now = datetime.now(UTC)
        job_id = make_job_id(milliseconds=int(now.timestamp() * 1000), chance=secrets.randbits(130))
        return JobSpec(
            id=job_id,
            owner=owner,
            request=replace(request, limits=_bounded(request.limits, settings)),
            created_at=now,
            nonce=secrets.token_hex(16),
            run_as=run_as,
            reserve_bytes=settings.reserve_bytes,
            cgroup=str(self._cgroups / job_id) if self._cgroups else "",
        )

    async def _launch(self, spec: JobSpec, entry: Entry) -> None:
        directory = self._state.job(entry.id)
        try:
            await asyncio.to_thread(_record, directory, spec)
            link = await self._launch_shim(entry, directory)
            if link.failure is not None:
                raise link.failure
            if link.status is None:
                await self._look_into_silence(entry, link)
        except OSError as error:
            failure = _start_error(error)
            await self._forget(entry, failure)
            raise failure from error
        except GprocError as error:
            await self._forget(entry, error)
            raise

    async def _launch_shim(self, entry: Entry, directory: Path) -> ShimLink:
        """Have a shim started; return the link on which it said how that went, or fell silent."""
        sock = await self._launcher.launch(directory)
        link = await ShimLink.over(sock, job_id=entry.id, nonce=entry.nonce, changed=partial(self._heard, entry))
        entry.link = link
        with suppress(TimeoutError):
            await link.settled(_START_SECONDS)
        return link

    async def _look_into_silence(self, entry: Entry, link: ShimLink) -> None:
        """Find out about a job whose shim never said a word; raise `Unavailable` if it certainly was not executed.

        If that is not certain, the job stays, lost: a client that tries again must not run it a second time.
        """
        link.close()
        entry.link = None
        await self._find_out(entry)
        if entry.status.state is JobState.LOST and not await asyncio.to_thread(
            recovery.may_have_run, self._state.job(entry.id)
        ):
            raise Unavailable("the job's shim ended before it could start the job; try again")

    async def _started(self, entry: Entry) -> JobStatus:
        """Return the status of a job once its start is decided; raise what its start raised."""
        while entry.status.state is JobState.PENDING:
            await entry.changes.wait()
        if entry.failure is not None:
            raise entry.failure
        return _current(entry)

    async def _forget(self, entry: Entry, error: GprocError) -> None:
        """Leave no trace of a job that was never executed."""
        self._registry.discard(entry)
        if entry.link is not None:
            entry.link.close()
        entry.failure = error
        entry.status = replace(entry.status, state=JobState.LOST)
        self._changed(entry)
        await asyncio.to_thread(self._state.delete, entry.id)

    # Asking

    def requested(self, request_id: str, *, owner: Identity = LOCAL) -> bool:
        """Whether *owner* started a job under *request_id*: then `submit` returns that job, and starts none."""
        return self._registry.requested(owner, request_id) is not None

    def status(self, job_id: JobId, *, owner: Identity | None = None) -> JobStatus:
        """Return the status of a job, as it is now."""
        return _current(self._registry.get(job_id, owner))

    def list(
        self,
        *,
        owner: Identity | None = None,
        page_size: int = 100,
        page_token: str = "",
        states: frozenset[JobState] = frozenset(),
        labels: Mapping[str, str] | None = None,
        id_prefix: str = "",
        name: str = "",
    ) -> JobPage:
        """Return a page of the jobs that match, newest first; give its token back for the next one."""
        query = ListQuery(states=states, labels=labels or {}, id_prefix=id_prefix, name=name)
        page = self._registry.page(owner, query, size=page_size, token=page_token)
        return replace(page, jobs=tuple(_current(self._registry.get(status.id, None)) for status in page.jobs))

    async def wait(self, job_id: JobId, *, owner: Identity | None = None) -> JobStatus:
        """Return the final status of a job, when it is final. Cancelling leaves the job alone."""
        entry = self._registry.get(job_id, owner)
        while not entry.status.is_final:
            await entry.changes.wait()
        return entry.status

    async def watch(
        self, ids: Sequence[JobId] = (), *, owner: Identity | None = None
    ) -> AsyncGenerator[JobStatus, None]:
        """Yield the current status of each job, then every change; of changes in quick succession only the last.

        Without *ids*: all jobs, new ones included, without end. With ids it ends when all are final or removed.
        """
        named = [self._registry.get(job_id, owner) for job_id in ids]
        told: dict[JobId, JobStatus] = {}
        while True:
            watched = named or list(self._registry.owned(owner))
            for entry in sorted(watched, key=lambda entry: entry.id):
                if told.get(entry.id) is not entry.status:
                    told[entry.id] = entry.status
                    yield _current(entry)
            if named and all(entry.status.is_final for entry in named):
                return
            # What was removed meanwhile is not remembered: a watch may last for months.
            told = {entry.id: told[entry.id] for entry in watched}
            if all(told[entry.id] is entry.status for entry in watched):
                await self._changes.wait()

    # Steering

    async def stop(
        self,
        job_id: JobId,
        *,
        owner: Identity | None = None,
        signal: Signals | None = None,
        grace: timedelta | None = None,
    ) -> JobStatus:
        """Stop a job and all that it started; return its final status.

        The job gets *signal*, and after *grace* SIGKILL; both as it was started with unless given. A finished job is
        left alone. If something cannot be killed, the status that says so is returned a few seconds after the grace.
        Stopping again with a shorter grace shortens it. Cancelling does not take the stop back.
        """
        entry = self._registry.get(job_id, owner)
        await self._started(entry)
        policy = StopPolicy(signal=signal or entry.stop.signal, grace=entry.stop.grace if grace is None else grace)
        seconds = policy.grace.total_seconds()
        if not entry.status.is_final:
            await self._ask(entry, "stop", signal=policy.signal.name, grace=seconds, by=owner or LOCAL)
        try:
            async with asyncio.timeout(seconds + _BEYOND_GRACE_SECONDS):
                return await self.wait(job_id)
        except TimeoutError:
            return _current(entry)

    async def signal(self, job_id: JobId, signal: Signals, *, owner: Identity | None = None) -> JobStatus:
        """Send *signal* to a job's process group; return its status.

        Raises `JobFinished` if there is nobody to send it to, `PermissionDenied` if the system does not allow it.
        """
        entry = self._registry.get(job_id, owner)
        await self._started(entry)
        if entry.status.is_final:
            raise JobFinished(f"job {job_id}: finished ({entry.status.state.value}); it cannot be sent a signal")
        number, text = await self._ask(entry, "signal", signal=int(signal))
        if number == errno.ESRCH:
            raise JobFinished(f"job {job_id}: its program has ended; it cannot be sent a signal")
        if number:
            raise PermissionDenied(f"job {job_id}: {signal.name} was refused by the system: {text}")
        return _current(entry)

    async def remove(self, job_id: JobId, *, owner: Identity | None = None) -> None:
        """Forget a finished job and delete its output; raise `JobRunning` if it is not finished.

        Those who are reading its output can read it to the end.
        """
        entry = self._registry.get(job_id, owner)
        if not entry.status.is_final:
            raise JobRunning(f"job {job_id}: is {entry.status.state.value}; stop it first with `gproc stop {job_id}`")
        self._registry.discard(entry)
        await asyncio.to_thread(self._state.delete, job_id)
        self._changes.notify()

    async def _ask(self, entry: Entry, what: str, **details: object) -> tuple[int, str]:
        """Ask a job's shim for *what*; a job that ends meanwhile is no such process."""
        try:
            if entry.link is None:
                raise Unavailable(f"job {entry.id}: its shim does not answer; try again")  # noqa: TRY301
            return await entry.link.ask(what, **details)
        except Unavailable:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOST_AFTER_SECONDS):
                    await self.wait(entry.id)
            if entry.status.is_final:
                return errno.ESRCH, "it has ended"
            raise

    # Output

    async def output_events(
        self, job_id: JobId, wanted: OutputRange | None = None, *, owner: Identity | None = None
    ) -> AsyncGenerator[OutputEvent, None]:
        """Yield the output that is *wanted* (all of it, by default): chunks and gaps, then exactly one `End`.

        What was written before is replayed, then what comes is yielded as it comes. Nothing is queued for a slow
        consumer: it just reads later. Raises `OffsetOutOfRange` beyond the output of a finished job. Close it
        (`contextlib.aclosing`), or its descriptors stay open until it is collected.
        """
        wanted = wanted or OutputRange()
        entry = self._registry.get(job_id, owner)
        await self._started(entry)
        with await asyncio.to_thread(self._open_cursor, entry, wanted) as cursor:
            snapshot = None if wanted.follow else entry.extent
            unbroken = 0
            while True:
                status, extent = entry.status, snapshot or entry.extent
                event = await _read(entry, cursor, extent)
                if event is not None:
                    yield event
                    unbroken += 1
                    if unbroken % _CHUNKS_WITHOUT_A_BREAK == 0:
                        await asyncio.sleep(0)
                elif status.is_final or snapshot is not None:
                    yield End(_current(entry))
                    return
                else:
                    await entry.changes.wait()

    async def watch_output(
        self, job_id: JobId, wanted: OutputRange | None = None, *, owner: Identity | None = None
    ) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield what `output_events` does, but for the end."""
        async with aclosing(self.output_events(job_id, wanted, owner=owner)) as events:
            async for event in events:
                if not isinstance(event, End):
                    yield event

    async def get_output(self, job_id: JobId, *, owner: Identity | None = None) -> bytes:
        """Return all output there is now, of both streams in order; dropped bytes are left out."""
        async with aclosing(self.watch_output(job_id, OutputRange(follow=False), owner=owner)) as pieces:
            return b"".join([piece.data async for piece in pieces if isinstance(piece, Chunk)])

    def _open_cursor(self, entry: Entry, wanted: OutputRange) -> OutputCursor:
        try:
            with opened(self._state.job(entry.id)) as dir_fd:
                cursor = OutputCursor(dir_fd=dir_fd, streams=wanted.streams)
        except FileNotFoundError:
            raise JobNotFound(entry.id) from None
        except OSError as error:
            problem = f"job {entry.id}: its output cannot be opened: {error.strerror}"
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                # It passes by itself, so readers that resume are to come back.
                raise Unavailable(f"{problem}; try again") from error
            raise InternalError(problem) from error
        if entry.status.is_final and wanted.offset > entry.extent.end:
            cursor.close()
            raise OffsetOutOfRange(
                f"offset {wanted.offset}: job {entry.id} is finished and wrote {entry.extent.end} bytes of output"
            )
        cursor.seek(wanted, entry.extent)
        return cursor

    # Hearing from shims

    def _heard(self, entry: Entry, link: ShimLink) -> None:
        """Take over what a shim announced."""
        if entry.link is not link and entry.link is not None:
            return
        if link.status is not None and not entry.status.is_final:
            changed = link.status is not entry.status
            entry.extent = link.extent
            if link.status.is_final:
                entry.extent = Extent(link.status.output_bytes, link.extent.kept)
                entry.link = None
                link.close()
            if changed:
                entry.status = link.status
                self._changed(entry)
            else:
                entry.changes.notify()
        was_executed = entry.status.state is not JobState.PENDING
        if link.is_down and entry.link is link and was_executed and not entry.status.is_final:
            entry.link = None
            if not self._closing:
                self._own(self._find_out(entry))

    def _changed(self, entry: Entry) -> None:
        entry.changes.notify()
        self._changes.notify()

    async def _find_out(self, entry: Entry) -> None:
        """Find out what became of a job whose shim hung up: it is final, lost, or to be adopted again."""
        directory = self._state.job(entry.id)
        give_up_at = time.monotonic() + _LOST_AFTER_SECONDS
        while time.monotonic() < give_up_at:
            try:
                status = await asyncio.to_thread(recovery.declare_lost, directory)
            except (FileNotFoundError, StateError) as error:
                _log.error("job record unreadable", extra={"job": entry.id, "reason": str(error)})
                status = replace(entry.status, state=JobState.LOST, reason=f"its record cannot be used: {error}")
            except OSError as error:
                # Want of descriptors or of disk says nothing about the job: ask again, and make nothing up.
                _log.warning("job record not reached", extra={"job": entry.id, "reason": error.strerror})
                status = None
            if status is not None:
                entry.extent = await asyncio.to_thread(recovery.extent_of, directory, status)
                entry.status = status
                self._changed(entry)
                return
            await self._adopt_one(entry)
            if entry.link is not None:
                return
            await asyncio.sleep(0.05)
        self._own(self._keep_trying(entry))

    async def _adopt(self, entries: Sequence[Entry]) -> None:
        """Find the shims of *entries* again, within one budget for all; the mute ones are asked again later."""
        tasks = [self._own(self._find_out(entry)) for entry in entries]
        if tasks:
            await asyncio.wait(tasks, timeout=_ADOPT_SECONDS)

    async def _adopt_one(self, entry: Entry) -> None:
        try:
            link = await ShimLink.to(
                self._state.job(entry.id),
                job_id=entry.id,
                nonce=entry.nonce,
                changed=partial(self._heard, entry),
            )
        except (OSError, TimeoutError):
            return
        with suppress(TimeoutError):
            await link.settled(_LOST_AFTER_SECONDS)
        if link.status is None:
            link.close()
        elif not link.is_down and not link.status.is_final:
            entry.link = link
        self._heard(entry, link)

    async def _keep_trying(self, entry: Entry) -> None:
        """Serve what is stored of a job whose shim lives and does not answer, until it does."""
        note = "its shim does not answer"
        entry.extent = await asyncio.to_thread(recovery.extent_of, self._state.job(entry.id), entry.status)
        entry.status = replace(entry.status, reason=note)
        self._changed(entry)
        _log.warning("shim does not answer", extra={"job": entry.id})
        await asyncio.sleep(_LOST_AFTER_SECONDS)
        await self._find_out(entry)

    # Keeping house

    async def _retain_for_ever(self) -> None:
        while True:
            await self._retain()
            await asyncio.sleep(_RETENTION_EVERY_SECONDS)

    async def _retain(self) -> None:
        statuses = [entry.status for entry in self._registry]
        for job_id in expired(statuses, self._settings.retention, now=datetime.now(UTC)):
            # Its owner may have removed it since.
            with suppress(JobNotFound):
                await self.remove(job_id)
                _log.info("job expired", extra={"job": job_id})

    def _own(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _close(self) -> None:
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for entry in self._registry:
            if entry.link is not None:
                entry.link.close()
        await self._launcher.close()
        self._state.close()


async def _read(entry: Entry, cursor: OutputCursor, extent: Extent) -> Chunk | Gap | None:
    try:
        try:
            return cursor.read(extent, may_block=False)
        except WouldBlockError:
            return await asyncio.to_thread(cursor.read, extent)
    except OSError as error:
        raise InternalError(f"job {entry.id}: its output cannot be read: {error.strerror}") from error


def _current(entry: Entry) -> JobStatus:
    """Return the status with the output counted up to now."""
    if entry.status.is_final or entry.status.output_bytes == entry.extent.end:
        return entry.status
    return replace(entry.status, output_bytes=entry.extent.end)


def _record(directory: Path, spec: JobSpec) -> None:
    """Write down what is going to run, before it does."""
    directory.mkdir(mode=0o700)
    with opened(directory) as dir_fd:
        write_record("spec.json", spec_to_document(spec), dir_fd=dir_fd)


def _bounded(limits: Limits, settings: SupervisorSettings) -> Limits:
    bounds = [bound for bound in (limits.output_bytes, settings.output_bytes) if bound is not None]
    return replace(
        limits,
        output_bytes=min(bounds) if bounds else None,
        output_policy=limits.output_policy or settings.output_policy,
    )


def _cgroups(configured: Path | None) -> Path | None:
    """Return the group below which each job gets its own, or None if there is none for us."""
    root = configured or delegated_subtree()
    if root is None:
        return None
    try:
        return prepare_subtree(root)
    except OSError as error:
        if configured is not None:
            raise StateError(f"cgroup {configured}: cannot be used: {error.strerror}") from error
        _log.warning("cgroup not used", extra={"cgroup": str(root), "reason": error.strerror})
        return None


def _start_error(error: OSError) -> GprocError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
        return QuotaExceeded(f"the server cannot record another job: {error.strerror}; try again later")
    return InternalError(f"the job could not be recorded: {error.strerror}")
