"""Signals to the processes of Gproc. Nobody is signalled whose identity is not proven at that moment.

A server is the process that holds the lock of its state directory, a shim the one that holds the lock of its job's
``spec.json``, a spawner the child of its server that runs ``gproc.worker.spawner``. The proof is taken while a process
descriptor is held, so the number cannot come to mean another process in between.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gproc.errors import StateError
from gproc.model import JobId
from gproc.worker import holder
from gproc.worker.tree import children

__all__ = [
    "NotProvenError",
    "frozen_shim",
    "holder_of_lock",
    "kill_both",
    "kill_server",
    "kill_shim",
    "kill_spawner",
    "server_pid",
    "shim_pid",
    "spawner_pid",
]


_STOP_SECONDS = 10.0


class NotProvenError(StateError):
    """There is no such process, or it cannot be proven to be the one that is meant."""


def server_pid(state_dir: Path) -> int:
    """Return the process id of the server that uses *state_dir*; raise `NotProvenError` if there is none."""
    return holder_of_lock(state_dir / "lock")


def shim_pid(state_dir: Path, job_id: JobId) -> int:
    """Return the process id of the shim of a job; raise `NotProvenError` if it has none."""
    return holder_of_lock(state_dir / "jobs" / job_id / "spec.json")


def spawner_pid(server: int) -> int:
    """Return the process id of the spawner of the server with process id *server*."""
    for child in children(server):
        if _runs_spawner(child):
            return child
    raise NotProvenError(f"process {server}: has no spawner")


def kill_server(state_dir: Path) -> int:
    """Kill the server that uses *state_dir* with SIGKILL; return its process id."""
    return _send(signal.SIGKILL, lambda: server_pid(state_dir))


def kill_spawner(state_dir: Path) -> int:
    """Kill the spawner of the server that uses *state_dir*; return its process id."""
    return _send(signal.SIGKILL, lambda: spawner_pid(server_pid(state_dir)))


def kill_shim(state_dir: Path, job_id: JobId) -> int:
    """Kill the shim of a job with SIGKILL; return its process id. The kernel then kills the job's program."""
    return _send(signal.SIGKILL, lambda: shim_pid(state_dir, job_id))


def kill_both(state_dir: Path, job_id: JobId) -> None:
    """Kill the server that uses *state_dir* and the shim of a job, one right after the other."""
    kill_server(state_dir)
    kill_shim(state_dir, job_id)


@contextmanager
def frozen_shim(state_dir: Path, job_id: JobId) -> Iterator[int]:
    """Keep the shim of a job from doing anything (SIGSTOP) until the end of the block; yield its process id.

    It may be killed inside the block.
    """
    pid = _send(signal.SIGSTOP, lambda: shim_pid(state_dir, job_id))
    try:
        _until_stopped(pid)
        yield pid
    finally:
        with suppress(NotProvenError):
            _send(signal.SIGCONT, lambda: shim_pid(state_dir, job_id))


def holder_of_lock(path: Path) -> int:
    """Return the process that holds the flock(2) of *path*; raise `NotProvenError` if there is none."""
    pid = holder.holder_of_lock(path)
    if pid is None:
        reason = "nobody holds its lock" if path.exists() else "is not there; nobody can be proven by it"
        raise NotProvenError(f"{path}: {reason}")
    return pid


def _until_stopped(pid: int) -> None:
    """Return when the process has stopped: the signal reaches it when it is next its turn to run."""
    give_up_at = time.monotonic() + _STOP_SECONDS
    while Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
        if time.monotonic() > give_up_at:
            raise NotProvenError(f"process {pid}: did not stop within {_STOP_SECONDS:g} s")
        time.sleep(0.001)


def _runs_spawner(pid: int) -> bool:
    try:
        return b"gproc.worker.spawner" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _send(number: signal.Signals, prove: Callable[[], int]) -> int:
    """Send a signal to the process that *prove* names twice, before and after it is held by a descriptor."""
    pid = prove()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise NotProvenError(f"process {pid}: is gone") from None
    try:
        if prove() != pid:
            raise NotProvenError(f"process {pid}: is no longer the one that was meant")
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise NotProvenError(f"process {pid}: is gone") from None
    finally:
        os.close(pidfd)
    return pid
