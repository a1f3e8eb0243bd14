"""Finding jobs again after a restart. Reads directories; signals nobody whose identity is not proven.

Whoever holds the lock on a job's `spec.json` is its shim. So a job that is not over and whose lock is free has lost
its shim, and what became of the job cannot be known: it is `lost`, and no exit code is made up.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gproc.errors import InvalidArgument, StateError
from gproc.model import JobId, JobRequest, JobState, JobStatus
from gproc.model.checks import LARGEST_COUNT, check_kind, check_natural, check_seconds, check_text, check_texts_by_name
from gproc.model.document import spec_from_document, status_from_document, status_to_document
from gproc.model.spec import JobSpec
from gproc.store.directory import StateDirectory, opened
from gproc.store.reader import stored_extent
from gproc.store.records import NewerRecordError, TornRecordError, read_record, write_record
from gproc.store.writer import Extent
from gproc.worker.cgroup import JobCgroup
from gproc.worker.kernel import boot_id
from gproc.worker.launch import JOB_VARIABLE
from gproc.worker.registry import Entry
from gproc.worker.tree import (
    command_name,
    descendants,
    directory_of,
    kill_bearers,
    processes,
    session,
    signal_each,
    start_ticks,
)

__all__ = ["declare_lost", "extent_of", "may_have_run", "new_entry", "read_jobs"]

_WANT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_KILL_ROUNDS = 20
_KILLED_SECONDS = 1.0
"""How long what was killed may take to be gone."""

_log = logging.getLogger("gproc.worker")

_MALFORMED = (KeyError, TypeError, ValueError, OverflowError, AttributeError, InvalidArgument)
"""What is raised where a whole record does not hold what it should."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the files of a job say."""

    spec: JobSpec
    status: JobStatus | None
    shim: dict[str, Any]
    problem: Exception | None = None
    """Why there is a status record that cannot be read."""


def read_jobs(state: StateDirectory) -> list[Entry]:
    """Return all jobs of the directory as their files tell; those that cannot be read are set aside and logged."""
    entries = []
    for job_id in state.job_ids():
        try:
            entry = _read_job(state.job(job_id), job_id)
            if entry.status.state is JobState.PENDING and _never_began(state.job(job_id)):
                state.delete(job_id)
            else:
                entries.append(entry)
        except (StateError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _WANT_OF_ROOM:
                raise StateError(f"state directory {state.path}: cannot be read now: {error.strerror}") from error
            _set_aside(state, job_id, error)
    return entries


def _never_began(directory: Path) -> bool:
    """Whether a job that was recorded was not executed, and never will be: who asked for it was not answered.

    That it is lost is written first: a shim that may still be on its way then gives up.
    """
    if may_have_run(directory) or (directory / "status.json").exists():
        return False
    return declare_lost(directory) is not None and not may_have_run(directory)


def _set_aside(state: StateDirectory, job_id: JobId, error: Exception) -> None:
    """Move a job that cannot be read out of the way, unless it may be read later; forget one that never ran.

    One that was never recorded never ran, if there is no output either.
    """
    if isinstance(error, NewerRecordError) or (isinstance(error, OSError) and error.errno == errno.EIO):
        # A newer version, or the disk at the next start, may do better; a shim that lives is found where its job is.
        _log.error("job left out", extra={"job": job_id, "reason": str(error)})
        return
    try:
        if isinstance(error, FileNotFoundError) and not may_have_run(state.job(job_id)):
            state.delete(job_id)
        else:
            where = state.set_aside(job_id)
            _log.error("job set aside", extra={"job": job_id, "reason": str(error), "where": str(where)})
    except OSError as problem:
        _log.error("job left out", extra={"job": job_id, "reason": f"{error}; cannot be moved away: {problem}"})


def new_entry(spec: JobSpec, status: JobStatus) -> Entry:
    """Return the entry of an accepted job."""
    return Entry(
        status=status,
        nonce=spec.nonce,
        request_id=spec.request.request_id,
        stop=spec.request.stop,
    )


def extent_of(directory: Path, status: JobStatus) -> Extent:
    """Return how far the stored output of a job goes.

    Where that cannot be seen, what a final status says is believed: readers are told what cannot be read. Raises
    `OSError` of a job that is not final.
    """
    try:
        with opened(directory) as fd:
            return stored_extent(dir_fd=fd, end=status.output_bytes if status.is_final else None)
    except FileNotFoundError:
        # It was lost before it wrote anything, or somebody deleted the file: what is missing reads as a gap.
        return Extent(status.output_bytes, 0)
    except OSError:
        if not status.is_final:
            raise
        return Extent(status.output_bytes, status.output_bytes)


def declare_lost(directory: Path) -> JobStatus | None:
    """Write down that a job is lost if its shim is gone; return its final status, or None if the shim lives.

    If the final record is there, that is what counts. What is left of the job is killed if it can be proven to be it,
    unless its shim lives all the same, in a directory that this one was copied from: there it is not lost.
    A record that is damaged is kept as ``status.json.damaged``; one of a newer version is left as it is.
    """
    with opened(directory) as fd, _lock(fd) as is_free:
        if not is_free:
            return None
        stored = _read_stored(fd)
        if stored.status is not None and stored.status.is_final:
            return stored.status
        if stored.shim and stored.shim.get("boot_id") != boot_id():
            reason = "the machine was restarted"
        elif _has_shim_elsewhere(stored.spec.id):
            reason = "its shim serves another copy of this state directory"
        else:
            reason = "its shim ended unexpectedly"
            _kill_remains(stored)
        status = _lost(stored, fd, reason)
        if isinstance(stored.problem, NewerRecordError):
            return status  # the version that wrote it may be back tomorrow, and can read it
        if stored.problem is not None:
            os.replace("status.json", "status.json.damaged", src_dir_fd=fd, dst_dir_fd=fd)
        write_record("status.json", status_to_document(status) | {"shim": stored.shim}, dir_fd=fd)
        return status


def may_have_run(directory: Path) -> bool:
    """Whether the shim of a job came as far as executing its program: it makes the output file just before."""
    return (directory / "output").exists()


def _read_job(directory: Path, job_id: JobId) -> Entry:
    with opened(directory) as fd:
        stored = _read_stored(fd)
        if stored.spec.id != job_id:
            raise StateError("its record is about another job")
        status = stored.status or stored.spec.pending()
        entry = new_entry(stored.spec, status)
    if status.is_final:
        entry.extent = extent_of(directory, status)
    return entry


def _read_stored(fd: int) -> _Stored:
    """Return what the two records say; either is enough to serve the job. Raises `StateError` if neither is."""
    status, shim, problem = _read_status(fd)
    try:
        spec = spec_from_document(read_record("spec.json", dir_fd=fd))
    except (TornRecordError, *_MALFORMED) as error:
        if status is None or "nonce" not in shim:
            raise StateError(f"spec.json: not the record of a job: {error!r}") from error
        _log.warning("job record damaged", extra={"job": status.id, "reason": str(error)})
        spec = _spec_from_status(status, shim)
    if status is not None and (status.id, status.owner) != (spec.id, spec.owner):
        raise StateError("its two records do not agree")
    if problem is not None:
        _log.error("status record unreadable", extra={"job": spec.id, "reason": str(problem)})
    return _Stored(spec, status, shim, problem)


def _read_status(fd: int) -> tuple[JobStatus | None, dict[str, Any], Exception | None]:
    try:
        document = read_record("status.json", dir_fd=fd)
        status, shim = status_from_document(document), document.get("shim", {})
        _check(status)
        check_kind("shim", shim, dict, "an object")
    except FileNotFoundError:
        return None, {}, None
    except (StateError, *_MALFORMED) as error:
        return None, {}, error
    return status, shim, None


def _check(status: JobStatus) -> None:
    """Refuse a status that no job can have: it would be told, and fail, far from here."""
    for text in ("id", "owner", "command", "name", "signal", "reason", "stopped_by"):
        check_text(text, getattr(status, text))
    for argument in status.args:
        check_text("args", argument)
    check_texts_by_name("labels", status.labels)
    check_texts_by_name("limits", status.limits)
    for count in ("pid", "exit_code"):
        if getattr(status, count) is not None:
            check_natural(count, getattr(status, count), most=LARGEST_COUNT)
    check_natural("output_bytes", status.output_bytes)
    check_natural("dropped_bytes", status.dropped_bytes)
    if status.usage is not None:
        check_seconds("usage.cpu_seconds", status.usage.cpu_seconds)
        check_natural("usage.max_rss_bytes", status.usage.max_rss_bytes)
    for time in (status.created_at, status.started_at, status.ended_at):
        if time is not None and time.tzinfo is None:
            raise InvalidArgument("time", f"{time} is in no time zone")


def _spec_from_status(status: JobStatus, shim: dict[str, Any]) -> JobSpec:
    """Return what can still be known of an accepted job: enough to find its shim, and to tell its owner."""
    request = JobRequest(
        command=status.command,
        args=status.args,
        name=status.name,
        labels=status.labels,
        request_id=shim.get("request_id", ""),
    )
    created_at = status.created_at or datetime.now(UTC)
    return JobSpec(id=status.id, owner=status.owner, request=request, created_at=created_at, nonce=shim["nonce"])


@contextmanager
def _lock(dir_fd: int) -> Iterator[bool]:
    """Hold the shim's lock, if it is free; yield whether it is."""
    fd = os.open("spec.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _lost(stored: _Stored, dir_fd: int, reason: str) -> JobStatus:
    status = stored.status or stored.spec.pending()
    try:
        size = stored_extent(dir_fd=dir_fd).end
    except OSError:
        size = status.output_bytes
    if stored.status is None:
        reason = _why_unknown(stored.problem, size)
    created = status.created_at or datetime.now(UTC)
    return replace(
        status,
        state=JobState.LOST,
        reason=reason,
        ended_at=max(datetime.now(UTC), created),
        output_bytes=size,
        exit_code=None,
        signal="",
    )


def _why_unknown(problem: Exception | None, output_bytes: int) -> str:
    """Return what is wrong with the status record of a job, and what is known of the job all the same."""
    if problem is None and not output_bytes:
        return "the server or its shim ended while it was being started; whether it ran cannot be known"
    known = f"it ran and wrote at least {output_bytes} bytes; " if output_bytes else ""
    what = "is missing" if problem is None else f"cannot be read ({problem})"
    return f"{known}how it ended cannot be known, because its status record {what}"


def _has_shim_elsewhere(job_id: JobId) -> bool:
    """Whether a shim works in a directory of this job: not in this one, for its lock is free, but in another copy."""
    places = [directory_of(pid) for pid in processes() if command_name(pid) == "gproc-shim"]
    return any(os.path.basename(place.removesuffix(" (deleted)")) == job_id for place in places)


def _kill_remains(stored: _Stored) -> None:
    """Kill what is left of a job without a shim: its cgroup, the session of its leader, and all that carry its id.

    The leader is only believed to be the job's if it is still the process that was started then; what descends from it
    is found as long as it lives, so it comes before all others.
    """
    if stored.spec.cgroup:
        # A group of its own holds nothing but this job.
        JobCgroup(stored.spec.cgroup).kill()
    pid = stored.status.pid if stored.status is not None else None
    ticks = start_ticks(pid) if pid else None
    is_the_same = ticks is not None and ticks == stored.shim.get("start_ticks")
    remains = [*session(pid), *descendants(pid)] if pid and is_the_same else []
    if refused := signal_each(remains, signal.SIGKILL):
        _log.warning("remains not killed", extra={"job": stored.spec.id, "reason": f"not permitted: {refused}"})
    for _ in range(_KILL_ROUNDS):
        # What is being killed may be forking.
        if not kill_bearers(f"{JOB_VARIABLE}={stored.spec.id}"):
            break
    if stored.spec.cgroup:
        JobCgroup(stored.spec.cgroup).remove(patience=_KILLED_SECONDS)
