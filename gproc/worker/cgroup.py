"""One cgroup v2 per job, where we may make one. See cgroups(7) and the kernel's cgroup-v2 document.

Only a subtree that is ours is used: one that systemd marked as delegated to this service, or one that the
configuration names. Everything here is optional; without it, sweeping through /proc does the same a little slower.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from gproc.errors import StartFailed
from gproc.model import Usage

__all__ = ["JobCgroup", "delegated_subtree", "disk_of", "prepare_subtree", "was_taken"]

_WANTED = ("cpu", "io", "memory", "pids")
_LOOK_EVERY_SECONDS = 0.005


def delegated_subtree() -> Path | None:
    """Return the cgroup that systemd delegated to this service (``Delegate=yes``), or None.

    It is the one that this process is in, or the one above, if ``DelegateSubgroup=`` put it into a leaf of its own.
    """
    own = next((line[3:] for line in _lines(Path("/proc/self/cgroup")) if line.startswith("0::")), "/")
    for line in _lines(Path("/proc/self/mountinfo")):
        fields = line.split(" - ")
        if len(fields) == 2 and fields[1].startswith("cgroup2 "):
            path = Path(fields[0].split()[4] + own)
            return next((group for group in (path.parent, path) if own != "/" and _is_delegated(group)), None)
    return None


def prepare_subtree(root: Path, *, is_entered_again: bool = False) -> Path:
    """Make *root* ready to hold jobs and return the group that they go below.

    A group with processes of its own may not hand controllers on to groups below it. So if this process is in *root*
    it moves to a leaf; but not if the next one will be put into *root* (*is_entered_again*) while jobs run on, which
    the kernel refuses once controllers are handed on: then there are none. It is made if it is not there and the
    directory above is a cgroup. Raises `OSError` if it cannot be used.
    """
    if (root.parent / "cgroup.procs").exists():
        root.mkdir(exist_ok=True)
    if not (root / "cgroup.kill").exists():
        raise FileNotFoundError(2, "not a cgroup v2 with cgroup.kill (Linux 5.14)", str(root))
    jobs = root / "jobs"
    jobs.mkdir(exist_ok=True)
    if str(os.getpid()) in _lines(root / "cgroup.procs"):
        if is_entered_again:
            return jobs
        leaf = root / "server"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
    for group in (root, jobs):
        for controller in _WANTED:
            with suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
    return jobs


def disk_of(directory: str, devices: Path = Path("/sys/dev/block")) -> str:
    """Return the disk that holds *directory*, as ``8:0``: the whole one, for the kernel bounds no partition of it.

    Empty if the directory is not there, or its file system is on no single block device.
    """
    try:
        number = os.stat(directory).st_dev
        device = (devices / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True)
    except OSError:
        return ""
    whole = device.parent if (device / "partition").exists() else device
    return next(iter(_lines(whole / "dev")), "")


class JobCgroup:
    """The cgroup of one job."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def procs(self) -> str:
        """The file through which a process enters."""
        return str(self.path / "cgroup.procs")

    def create(self) -> frozenset[str]:
        """Make the group; return the controllers it has. Raises `OSError`."""
        self.path.mkdir()
        return frozenset(" ".join(_lines(self.path / "cgroup.controllers")).split())

    def bound(self, files: tuple[tuple[str, str], ...]) -> None:
        """Write the bounds and read them back; raise `StartFailed` if the kernel took something else."""
        for name, content in files:
            file = self.path / name
            try:
                file.write_text(content)
                taken = file.read_text().strip()
            except OSError as error:
                raise StartFailed(f"{name}: cannot be set: {error.strerror}", error.errno or 0) from error
            if not was_taken(content, taken):
                raise StartFailed(f"{name}: asked for {content}, the kernel took {taken}")

    def kill(self) -> None:
        """Send SIGKILL to everything in the group, in one step."""
        with suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")

    def remove(self, *, patience: float = 0.0) -> None:
        """Remove the group, if it is empty within so many seconds: what is killed is in it until it has ended."""
        give_up_at = time.monotonic() + patience
        while True:
            try:
                return self.path.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() >= give_up_at:
                    return None
            time.sleep(_LOOK_EVERY_SECONDS)

    def oom_kills(self) -> int:
        """Return how many processes were killed for want of memory."""
        return _counter(self.path / "memory.events", "oom_kill") or 0

    def usage(self, measured: Usage) -> Usage:
        """Return what the group used, where it knows better than what was *measured* from its processes."""
        microseconds = _counter(self.path / "cpu.stat", "usage_usec")
        peak = next((int(line) for line in _lines(self.path / "memory.peak") if line.isdecimal()), None)
        return Usage(
            cpu_seconds=measured.cpu_seconds if microseconds is None else microseconds / 1e6,
            max_rss_bytes=measured.max_rss_bytes if peak is None else peak,
        )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _counter(file: Path, name: str) -> int | None:
    return next((int(line.split()[1]) for line in _lines(file) if line.startswith(f"{name} ")), None)


def was_taken(asked: str, taken: str) -> bool:
    """Whether the kernel has *taken* what was *asked*: just that, the whole pages of it, or a line that says it."""
    return taken == asked or _rounded_to_pages(asked, taken) or _is_line_of(taken, asked)


def _rounded_to_pages(asked: str, taken: str) -> bool:
    page = os.sysconf("SC_PAGESIZE")
    return asked.isdecimal() and taken.isdecimal() and int(asked) // page * page == int(taken)


def _is_line_of(taken: str, asked: str) -> bool:
    """Whether *asked*, as ``8:0 rbps=1024``, is what a line of *taken* says; that one names the other keys, too."""
    device, *wanted = asked.split()
    lines = (line.split() for line in taken.splitlines())
    return bool(wanted) and any(line[:1] == [device] and set(wanted) <= set(line) for line in lines)


def _is_delegated(path: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(path, name) == b"1":
                return os.access(path / "cgroup.procs", os.W_OK)
    return False
