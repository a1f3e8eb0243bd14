"""All jobs of one state directory."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    PermissionDenied,
    QuotaExceeded,
    StateError,
    Unavailable,
)
from gproc.model import (
    Chunk,
    Gap,
    Identity,
    JobId,
    JobPage,
    JobRequest,
    JobState,
    JobStatus,
    Limits,
    ListQuery,
    OutputEvent,
    OutputRange,
    StopPolicy,
    make_job_id,
)
from gproc.model.document import spec_to_document
from gproc.model.job import arguments_of
from gproc.model.listing import USUAL_PAGE
from gproc.model.spec import JobSpec, RunAs
from gproc.store.directory import StateDirectory, opened
from gproc.store.records import create_record
from gproc.store.retention import expired
from gproc.worker import recovery
from gproc.worker.attachment import MUTE, Attachment
from gproc.worker.cgroup import delegated_subtree, prepare_subtree
from gproc.worker.holder import leave_stop, stop_unreachable
from gproc.worker.launcher import Launcher
from gproc.worker.link import ShimLink
from gproc.worker.output import Room, follow
from gproc.worker.registry import Entry, Registry
from gproc.worker.settings import SupervisorSettings
from gproc.worker.tasks import Tasks
from gproc.worker.watching import Watchers

__all__ = ["LOCAL", "Supervisor"]

LOCAL: Identity = "local"
"""The owner of jobs that are started without a network."""

_START_SECONDS = 30.0
_BEYOND_GRACE_SECONDS = 5.0
_ENDING_SECONDS = 2.0
_RETENTION_EVERY_SECONDS = 60.0

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
        self._tasks = Tasks()
        self._watchers = Watchers(self._registry)
        self._attachment = Attachment(self._state, self._tasks, self._changed)
        self._cgroups: Path | None = None
        self._undeleted: dict[JobId, str] = {}
        """What the log was told of jobs that could not be deleted."""

    async def __aenter__(self) -> Self:
        """Lock the directory, find the jobs in it again, and be ready to start more.

        Raises `StateError` if the directory cannot be used.
        """
        try:
            await self._tasks.thread(self._state.open)
            self._cgroups = _cgroups(self._settings.cgroup)
            self._launcher.open()
            entries = await self._tasks.thread(recovery.read_jobs, self._state)
            for entry in entries:
                self._registry.add(entry)
            await self._attachment.adopt([entry for entry in entries if not entry.status.is_final])
        except BaseException:
            await self._close()
            raise
        self._tasks.own(self._retain_for_ever())
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
        request = JobRequest(command=command, args=arguments_of(args), **options)
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
        entry = recovery.new_entry(spec, spec.pending())
        self._registry.add(entry)
        launch = self._tasks.own(self._launch(spec, entry))
        try:
            await asyncio.shield(launch)
        except asyncio.CancelledError:
            if launch.cancelled():
                raise Unavailable("the supervisor is closing; ask for the job again") from None
            raise
        if entry.status.state is JobState.PENDING:
            raise Unavailable(f"job {entry.id}: its shim is slow to start; ask for the job's status later")
        return entry.status

    def _accept(self, request: JobRequest, owner: Identity, run_as: RunAs | None) -> JobSpec:
        settings = self._settings
        if self._tasks.is_closing:
            raise Unavailable("the supervisor is closing; try again")
        if settings.owner_output_bytes is not None:
            kept = self._registry.kept_bytes(owner)
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
            await self._tasks.thread(_record, directory, spec)
            link = await self._launch_shim(spec, entry, directory)
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

    async def _launch_shim(self, spec: JobSpec, entry: Entry, directory: Path) -> ShimLink:
        """Have a shim run the job; return the link on which it said how that went, or fell silent."""
        needs_a_new_one = spec.run_as is not None or spec.request.limits.core_bytes is not None
        link = None if needs_a_new_one else self._attachment.reuse(entry, directory)
        if link is None:
            link = await self._attachment.attach(entry, await self._launcher.launch(directory))
        with suppress(TimeoutError):
            await link.settled(_START_SECONDS)
        return link

    async def _look_into_silence(self, entry: Entry, link: ShimLink) -> None:
        """Find out about a job whose shim never said a word; raise `Unavailable` if it certainly was not executed.

        If that is not certain, the job stays, lost: a client that tries again must not run it a second time.
        """
        link.close()
        entry.link = None
        await self._attachment.find_out(entry)
        is_lost = entry.status.state is JobState.LOST
        if is_lost and not await self._tasks.thread(recovery.may_have_run, self._state.job(entry.id)):
            raise Unavailable("the job's shim ended before it could start the job; try again")

    async def _started(self, entry: Entry) -> JobStatus:
        """Return the status of a job once its start is decided; raise what its start raised."""
        while entry.status.state is JobState.PENDING:
            await entry.changes.wait()
        if entry.failure is not None:
            raise entry.failure
        return entry.current()

    async def _forget(self, entry: Entry, error: GprocError) -> None:
        """Leave no trace of a job that was never executed."""
        self._registry.discard(entry)
        if entry.link is not None:
            entry.link.close()
        entry.failure = error
        entry.status = replace(entry.status, state=JobState.LOST)
        self._changed(entry)
        with suppress(OSError):  # then the next start finds it, and deletes it or tells of it as lost
            await self._tasks.thread(self._state.delete, entry.id)

    # Asking

    def requested(self, request_id: str, *, owner: Identity = LOCAL) -> bool:
        """Whether *owner* started a job under *request_id*: then `submit` returns that job, and starts none."""
        return self._registry.requested(owner, request_id) is not None

    def running(self, owner: Identity) -> int:
        """Return how many jobs of *owner* are not final, those that are just being started included."""
        return self._registry.running(owner)

    def status(self, job_id: JobId, *, owner: Identity | None = None) -> JobStatus:
        """Return the status of a job, as it is now."""
        return self._registry.get(job_id, owner).current()

    def list(
        self,
        *,
        owner: Identity | None = None,
        page_size: int = USUAL_PAGE,
        page_token: str = "",
        states: frozenset[JobState] = frozenset(),
        labels: Mapping[str, str] | None = None,
        id_prefix: str = "",
        name: str = "",
    ) -> JobPage:
        """Return a page of the jobs that match, newest first; give its token back for the next one."""
        query = ListQuery(
            page_size=page_size,
            page_token=page_token,
            states=states,
            labels=labels or {},
            id_prefix=id_prefix,
            name=name,
        )
        return self.page(query, owner=owner)

    def page(self, query: ListQuery, *, owner: Identity | None = None) -> JobPage:
        """Return one page of jobs, newest first."""
        page = self._registry.page(owner, query)
        return replace(page, jobs=tuple(self._registry.get(status.id, None).current() for status in page.jobs))

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
        async with aclosing(self._watchers.watch(named, owner)) as statuses:
            async for status in statuses:
                yield status

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
        left alone. A shim whose socket was deleted is told in another way, by `stop_unreachable`.
        If something cannot be killed, the status that says so is returned a few seconds after the grace. If the shim
        does not answer within some ten seconds, the status says that; the stop happens once the shim goes on, even
        if this server is gone by then.
        Stopping again with a shorter grace shortens it. Cancelling does not take the stop back.
        """
        entry = self._registry.get(job_id, owner)
        await self._started(entry)
        policy = StopPolicy(signal=signal or entry.stop.signal, grace=entry.stop.grace if grace is None else grace)
        limit = policy.grace.total_seconds()
        asked = {"signal": policy.signal.name, "grace": limit, "by": owner or LOCAL}
        if not entry.status.is_final:
            if await self._stop_unreachable(entry, asked):
                # A shim of an earlier version keeps to the grace that the job was started with.
                limit = max(limit, entry.stop.grace.total_seconds())
            elif not await self._was_asked(entry, asked) and not entry.status.is_final:
                return replace(entry.current(), reason=MUTE)
        try:
            async with asyncio.timeout(limit + _BEYOND_GRACE_SECONDS):
                return await self.wait(job_id)
        except TimeoutError:
            return entry.current()

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
        return entry.current()

    async def remove(self, job_id: JobId, *, owner: Identity | None = None) -> None:
        """Forget a finished job and delete its output; raise `JobRunning` if it is not finished.

        Those who are reading its output can read it to the end. Raises `InternalError` if its files cannot be deleted;
        then it is not forgotten, either, and the log says so. If cancelled, the job is removed all the same.
        """
        entry = self._registry.get(job_id, owner)
        if not entry.status.is_final:
            raise JobRunning(f"job {job_id}: is {entry.status.state.value}; stop it first with `gproc stop {job_id}`")
        self._registry.discard(entry)
        failure = await asyncio.shield(self._delete(entry))
        if failure is not None:
            raise failure

    async def _delete(self, entry: Entry) -> InternalError | None:
        """Delete the files of a job; return why they cannot be. The log is told that once, until it is another."""
        try:
            await self._tasks.thread(self._state.delete, entry.id)
        except OSError as error:
            self._registry.add(entry)
            failure = InternalError(f"job {entry.id}: its files cannot be deleted: {error.strerror}")
            if self._undeleted.get(entry.id) != str(failure):
                self._undeleted[entry.id] = str(failure)
                _log.error("job not removed", extra={"job": entry.id, "reason": str(failure)})
            return failure
        self._undeleted.pop(entry.id, None)
        return None

    async def _stop_unreachable(self, entry: Entry, asked: Mapping[str, object]) -> bool:
        """Whether the shim of *entry* could only be told by a signal to stop its job, and was."""
        return entry.link is None and await self._tasks.thread(stop_unreachable, self._state.job(entry.id), asked)

    async def _was_asked(self, entry: Entry, asked: Mapping[str, object]) -> bool:
        """Ask a job's shim to stop it; return whether it was heard, and raise `Unavailable` if it hung up meanwhile.

        To one that does not answer, word is left: the stop happens once it goes on, whatever becomes of this server.
        """
        link = entry.link
        try:
            await self._ask(entry, "stop", **asked)
        except Unavailable:
            if entry.link is not link:
                raise
            await self._tasks.thread(leave_stop, self._state.job(entry.id), asked)
            return False
        return True

    async def _ask(self, entry: Entry, what: str, **details: object) -> tuple[int, str]:
        """Ask a job's shim for *what*; a job that ends meanwhile is no such process."""
        try:
            if entry.link is None:
                raise Unavailable(f"job {entry.id}: its shim does not answer; try again")  # noqa: TRY301
            return await entry.link.ask(what, **details)
        except Unavailable:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDING_SECONDS):
                    await self.wait(entry.id)
            if entry.status.is_final:
                return errno.ESRCH, "it has ended"
            raise

    # Output

    async def output_events(
        self,
        job_id: JobId,
        wanted: OutputRange | None = None,
        *,
        owner: Identity | None = None,
        room: Room | None = None,
    ) -> AsyncGenerator[OutputEvent, None]:
        """Yield the output that is *wanted* (all of it, by default): chunks and gaps, then exactly one `End`.

        What was written before is replayed, then what comes is yielded as it comes. If a tail is followed, a gap of no
        bytes is the first event, and says where it begins. Nothing is queued for a slow consumer: it just reads later.
        *room* is awaited before each read, and returns how many bytes to read at most. Raises `OffsetOutOfRange` beyond
        the output of a finished job. Close it (`contextlib.aclosing`), or its descriptors stay open until it is
        collected.
        """
        wanted = wanted or OutputRange()
        entry = self._registry.get(job_id, owner)
        await self._started(entry)
        async with aclosing(follow(entry, self._state.job(job_id), wanted, self._tasks, room)) as events:
            async for event in events:
                yield event
                del event  # a reader who waits for the next one does not keep this one

    async def watch_output(
        self, job_id: JobId, wanted: OutputRange | None = None, *, owner: Identity | None = None
    ) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield the output itself of what `output_events` does: chunks and gaps."""
        async with aclosing(self.output_events(job_id, wanted, owner=owner)) as events:
            async for event in events:
                if isinstance(event, Chunk) or (isinstance(event, Gap) and event.bytes):
                    yield event

    async def get_output(self, job_id: JobId, *, owner: Identity | None = None) -> bytes:
        """Return all output there is now, of both streams in order; dropped bytes are left out."""
        async with aclosing(self.watch_output(job_id, OutputRange(follow=False), owner=owner)) as pieces:
            return b"".join([piece.data async for piece in pieces if isinstance(piece, Chunk)])

    def _changed(self, entry: Entry) -> None:
        entry.changes.notify()
        if entry.status.is_final:
            self._registry.settle(entry)
        self._watchers.notify(entry)

    # Keeping house

    async def _retain_for_ever(self) -> None:
        while True:
            await self._retain()
            await asyncio.sleep(_RETENTION_EVERY_SECONDS)

    async def _retain(self) -> None:
        statuses = [entry.status for entry in self._registry]
        for job_id in expired(statuses, self._settings.retention, now=datetime.now(UTC)):
            try:
                await self.remove(job_id)
                _log.info("job expired", extra={"job": job_id})
            except (JobNotFound, InternalError):
                pass  # its owner has removed it since, or why it cannot be was logged

    async def _close(self) -> None:
        await self._tasks.close()
        for entry in self._registry:
            if entry.link is not None:
                entry.link.close()
        self._attachment.close()
        await self._launcher.close()
        self._state.close()


def _record(directory: Path, spec: JobSpec) -> None:
    """Write down what is going to run, before it does."""
    directory.mkdir(mode=0o700)
    with opened(directory) as dir_fd:
        create_record("spec.json", spec_to_document(spec), dir_fd=dir_fd)


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
        return prepare_subtree(root, is_entered_again=configured is None)
    except OSError as error:
        if configured is not None:
            raise StateError(f"cgroup {configured}: cannot be used: {error.strerror}") from error
        _log.warning("cgroup not used", extra={"cgroup": str(root), "reason": error.strerror})
        return None


def _start_error(error: OSError) -> GprocError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
        return QuotaExceeded(f"the server cannot record another job: {error.strerror}; try again later")
    return InternalError(f"the job could not be recorded: {error.strerror}")
