"""Looking at processes from outside, through /proc."""

from __future__ import annotations

import os
from pathlib import Path

from gproc.worker.tree import descendants

__all__ = ["is_living", "living", "named", "open_descriptors", "process_state", "working_in"]

_PROC = Path("/proc")


def process_state(pid: int) -> str:
    """Return the letter that `ps` shows for *pid*, or nothing if there is no such process."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_living(pid: int) -> bool:
    """Whether process *pid* is there, and not only waits to be reaped."""
    return process_state(pid) not in ("", "Z", "X")


def living(mark: str) -> list[int]:
    """Return the living processes that have *mark* in their environment or arguments."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if is_living(pid) and _has(pid, mark)]


def named(name: str) -> list[int]:
    """Return the living processes below this one that call themselves *name*, as `ps` shows it."""
    return [pid for pid in descendants(os.getpid()) if is_living(pid) and _read(pid, "comm") == f"{name}\n".encode()]


def working_in(directory: Path) -> list[int]:
    """Return the living processes below this one whose current directory is *directory* or below it."""
    return [pid for pid in descendants(os.getpid()) if is_living(pid) and _link(pid, "cwd").startswith(str(directory))]


def open_descriptors(pid: int | str = "self") -> int:
    """Return how many descriptors a process has open."""
    return len(list((_PROC / str(pid) / "fd").iterdir()))


def _has(pid: int, mark: str) -> bool:
    return mark.encode() in _read(pid, "environ") + _read(pid, "cmdline")


def _read(pid: int, what: str) -> bytes:
    try:
        return (_PROC / str(pid) / what).read_bytes()
    except OSError:
        return b""


def _link(pid: int, what: str) -> str:
    try:
        return str((_PROC / str(pid) / what).readlink())
    except OSError:
        return ""
