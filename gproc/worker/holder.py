"""Who holds a lock, and signals to nobody else.

A shim holds the lock of its job's ``spec.json`` from its first moment to its last. So whoever holds it is the shim,
whatever became of its socket; a process id from a record alone proves nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gproc.store.directory import opened
from gproc.store.records import write_record
from gproc.worker.protocol import STOP_RECORD

__all__ = ["holder_of_lock", "leave_stop", "signal_holder", "stop_unreachable"]

_LOOKS = 8
"""The kernel shows its locks a page at a time; one that moves up to a page that was shown, as others go, is missed."""

_leaving = threading.Lock()
"""Two who leave word for one shim at the same time must not write into each other's record."""

_log = logging.getLogger("gproc.worker")


def stop_unreachable(directory: Path, asked: Mapping[str, object]) -> bool:
    """Have a shim whose socket is gone stop its job as it is *asked*; return whether it was told.

    A shim that can be reached by its socket, even if it does not answer, is left alone.
    """
    return not (directory / "shim.sock").is_socket() and leave_stop(directory, asked)


def leave_stop(directory: Path, asked: Mapping[str, object]) -> bool:
    """Leave word to a job's shim to stop the job as it is *asked*; return whether there is a shim.

    What is asked is left in a record, and that it is there is told by a signal. Both wait for a shim that is frozen,
    whatever becomes of the server. If the record cannot be written, the shim stops its job as it was started to be
    stopped.
    """
    if holder_of_lock(directory / "spec.json") in (None, os.getpid()):
        return False
    try:
        with _leaving, opened(directory) as fd:
            write_record(STOP_RECORD, dict(asked), dir_fd=fd, durable=False)
    except OSError as error:
        reason = f"{error.strerror}; the signal and the grace that the job was started with are used"
        _log.warning("stop not passed on", extra={"job": directory.name, "reason": reason})
    return signal_holder(directory / "spec.json", signal.SIGTERM)


def signal_holder(path: Path, number: signal.Signals) -> bool:
    """Send a signal to the process that holds the lock of *path*; return whether there was one, and not this one.

    This one holds the lock of a job while it declares the job lost: then the shim is gone.
    It is looked for twice, before and after it is held by a descriptor, so its number cannot have come to mean another.
    Raises `PermissionError` if it may not be signalled.
    """
    pid = holder_of_lock(path)
    if pid in (None, os.getpid()):
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if holder_of_lock(path) != pid:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
            return True
        return False
    finally:
        os.close(pidfd)


def holder_of_lock(path: Path) -> int | None:
    """Return the process that holds the flock(2) of *path*; None if there is none, or none that can be proven."""
    try:
        about = path.stat(follow_symlinks=False)
    except OSError:
        return None
    looks = (_find_holder(about) for _ in range(_LOOKS))
    return next((pid for pid in looks if pid is not None), None)


def _find_holder(about: os.stat_result) -> int | None:
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        _, _, rest = line.partition(": ")
        fields = rest.split()
        # "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131073 0 EOF"; those who wait begin with "->".
        if fields[:1] == ["FLOCK"] and int(fields[4].rpartition(":")[2]) == about.st_ino:
            pid = int(fields[3])
            if _has_open(pid, about):
                return pid
    return None


def _has_open(pid: int, about: os.stat_result) -> bool:
    """Whether the process has the file open: inodes of two file systems may be equal."""
    with suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                found = fd.stat()
                if (found.st_dev, found.st_ino) == (about.st_dev, about.st_ino):
                    return True
    return False
