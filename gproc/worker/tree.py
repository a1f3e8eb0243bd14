"""The descendants of a process, found through /proc, and signals to them.

A process that became a child subreaper (prctl(2)) is the ancestor of everything that was started below it, whatever
forks, sessions and groups lie between. So walking `/proc/PID/task/TID/children` from there finds all, without root and
without cgroups.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from gproc.worker.kernel import read_file

__all__ = ["children", "descendants", "session", "signal_each", "start_ticks"]


def descendants(root: int) -> list[int]:
    """Return the process ids of all living descendants of *root*, parents before children."""
    found = list(children(root))
    for pid in found:
        found.extend(children(pid))
    return found


def session(leader: int) -> list[int]:
    """Return the process ids of the session that *leader* leads, or led: nobody else gets its number before it ends."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            fields = _stat_fields(int(name))
            if len(fields) > 3 and int(fields[3]) == leader:
                found.append(int(name))
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


def start_ticks(pid: int) -> int | None:
    """Return when process *pid* was started, in clock ticks since boot: with the pid, its identity. None if gone."""
    fields = _stat_fields(pid)
    return int(fields[19]) if len(fields) > 19 else None


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
