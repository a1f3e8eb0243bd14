"""The descendants of a process, found through /proc, and signals to them.

A process that became a child subreaper (prctl(2)) is the ancestor of everything that was started below it, whatever
forks, sessions and groups lie between. So walking `/proc/PID/task/TID/children` from there finds all, without root and
without cgroups.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from gproc.worker.kernel import read_file

__all__ = [
    "children",
    "command_name",
    "descendants",
    "directory_of",
    "kill_bearers",
    "processes",
    "session",
    "signal_each",
    "start_ticks",
]


def descendants(root: int) -> list[int]:
    """Return the process ids of all living descendants of *root*, parents before children."""
    found = list(children(root))
    for pid in found:
        found.extend(children(pid))
    return found


def session(leader: int) -> list[int]:
    """Return the process ids of the session that *leader* leads, or led: nobody else gets its number before it ends."""
    found = []
    for pid in processes():
        fields = _stat_fields(pid)
        if len(fields) > 3 and int(fields[3]) == leader:
            found.append(pid)
    return found


def signal_each(pids: list[int], number: int) -> list[int]:
    """Send signal *number* to each of *pids*; return those to which that is not permitted."""
    refused = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            refused.append(pid)
    return refused


def kill_bearers(variable: str) -> int:
    """Kill every process that was executed with *variable* (``NAME=VALUE``) in its environment; return how many.

    Each is held by a descriptor before its environment is read, so no stranger can come into its place in between.
    Those that this process may not look at, or kill, are left alone.
    """
    return sum(_kill_bearer(pid, variable.encode()) for pid in processes())


def _kill_bearer(pid: int, variable: bytes) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if variable not in _environment(pid):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def start_ticks(pid: int) -> int | None:
    """Return when process *pid* was started, in clock ticks since boot: with the pid, its identity. None if gone."""
    fields = _stat_fields(pid)
    return int(fields[19]) if len(fields) > 19 else None


def processes() -> list[int]:
    """Return the process ids of all processes that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def command_name(pid: int) -> str:
    """Return what process *pid* calls itself, as `ps` shows it; nothing if it is gone."""
    try:
        return read_file(f"/proc/{pid}/comm").decode(errors="replace").rstrip("\n")
    except OSError:
        return ""


def directory_of(pid: int) -> str:
    """Return the current directory of process *pid*; nothing if it is gone, or somebody else's."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _environment(pid: int) -> list[bytes]:
    """Return the variables that a process was executed with; none if it is gone, or somebody else's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the state on, or none if the process is gone."""
    try:
        return read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return []


def children(pid: int) -> Iterator[int]:
    """Yield the process ids of the children of *pid* as they are now, zombies included."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            yield from map(int, read_file(f"/proc/{pid}/task/{thread}/children").split())
        except OSError:
            continue
