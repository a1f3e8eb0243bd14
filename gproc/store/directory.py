"""The state directory: whose it is, and where the jobs are in it.

::

    STATE/lock                 held by the one server that uses the directory
    STATE/jobs/<id>/           one directory a job: spec.json, status.json, output, index, shim.sock
    STATE/set-aside/<id>/      jobs whose records could not be read
    STATE/deleted/<id>/        jobs that are gone, while their files are being deleted
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gproc.errors import StateError
from gproc.model.ids import JobId, is_job_id

__all__ = ["StateDirectory", "opened"]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Hold *path* open as a directory descriptor; a link is not followed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


class StateDirectory:
    """A directory that is ours alone, locked while it is open."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.jobs = self.path / "jobs"
        self._set_aside = self.path / "set-aside"
        self._deleted = self.path / "deleted"
        self._lock_fd = -1

    def open(self) -> None:
        """Make, check and lock the directory; raise `StateError` if it cannot be trusted or is in use."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check()
            self.jobs.mkdir(mode=0o700, exist_ok=True)
            self._lock()
        except OSError as error:
            raise StateError(
                f"state directory {self.path}: {error.strerror}; choose another with --state-dir"
            ) from error
        shutil.rmtree(self._deleted, ignore_errors=True)

    def close(self) -> None:
        """Let another server use the directory."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def job(self, job_id: JobId) -> Path:
        """Return the directory of a job."""
        return self.jobs / job_id

    def job_ids(self) -> list[JobId]:
        """Return the names of all job directories, the oldest first; what has another name is none of ours."""
        entries = os.scandir(self.jobs)
        return sorted(entry.name for entry in entries if is_job_id(entry.name) and entry.is_dir(follow_symlinks=False))

    def set_aside(self, job_id: JobId) -> Path:
        """Move a job that cannot be read out of the way; return where it is now."""
        self._set_aside.mkdir(mode=0o700, exist_ok=True)
        target = self._set_aside / job_id
        if target.exists():
            shutil.rmtree(target)
        self.job(job_id).rename(target)
        return target

    def delete(self, job_id: JobId) -> None:
        """Delete the directory of a job; those who have its files open can read on.

        It is moved away in one step, for which no descriptor is needed. If its files cannot be deleted then, or the
        server ends meanwhile, the next `open` deletes them. Where there is no room to move it, or ``jobs`` is on a disk
        of its own, it is deleted in its place. Raises `OSError` if neither can be done: all of it is there, or what is
        left.
        """
        try:
            self._deleted.mkdir(mode=0o700, exist_ok=True)
            self.job(job_id).rename(self._deleted / job_id)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EXDEV}:
                raise
            shutil.rmtree(self.job(job_id))  # to delete takes no room, only the other place does
        if (self._deleted / job_id).is_dir():  # to open a named pipe that somebody put in its place would take for ever
            shutil.rmtree(self._deleted / job_id, ignore_errors=True)

    def _check(self) -> None:
        about = self.path.lstat()
        if not stat.S_ISDIR(about.st_mode):
            raise StateError(f"state directory {self.path}: is not a directory (links are not followed)")
        if about.st_uid != os.geteuid():
            raise StateError(f"state directory {self.path}: belongs to another user (uid {about.st_uid})")
        if about.st_mode & 0o022:
            raise StateError(f"state directory {self.path}: others can write to it; run `chmod 700 {self.path}`")

    def _lock(self) -> None:
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StateError(f"state directory {self.path}: in use by another server (process {holder})") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = fd
