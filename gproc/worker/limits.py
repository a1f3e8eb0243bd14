"""Which bounds the kernel holds for a job, and which it cannot. Pure.

Resource limits (setrlimit(2)) are there on every system, and hold each process on its own. A cgroup v2 that has the
controllers holds the job as a whole. What neither can hold is reported as unavailable, never passed over.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from gproc.model import Limits

__all__ = ["ENFORCED", "LimitPlan", "plan_limits"]

ENFORCED = "enforced"
_PERIOD_MICROSECONDS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPlan:
    """What to set before the program is executed, and what to tell the owner about it."""

    rlimits: tuple[tuple[int, int], ...]
    cgroup_files: tuple[tuple[str, str], ...]
    """Names and contents of files in the job's cgroup; of ``io.max``, one line of it."""
    report: dict[str, str]


def plan_limits(limits: Limits, *, controllers: frozenset[str], is_root: bool, disk: str = "") -> LimitPlan:
    """Return how *limits* are held with these cgroup *controllers*, for a job that runs as root or not.

    *disk* is the block device behind the job's directory, as ``8:0``; empty if there is none.
    """
    rlimits = [(resource.RLIMIT_CORE, limits.core_bytes or 0)]
    files: list[tuple[str, str]] = []
    report: dict[str, str] = {}
    for name, which in _RLIMITS.items():
        bound = getattr(limits, name)
        if bound is not None:
            rlimits.append((which, bound))
            report[name] = _EACH_PROCESS if name == "memory_bytes" else ENFORCED
    if limits.core_bytes is not None:
        report["core_bytes"] = ENFORCED
    if limits.output_bytes is not None:
        report["output_bytes"] = ENFORCED
    if limits.memory_bytes is not None and "memory" in controllers:
        files += [("memory.max", str(limits.memory_bytes)), ("memory.oom.group", "1")]
        report["memory_bytes"] = ENFORCED
    if limits.cpu_millis is not None and "cpu" in controllers:
        files.append(("cpu.max", f"{limits.cpu_millis * _PERIOD_MICROSECONDS // 1000} {_PERIOD_MICROSECONDS}"))
        report["cpu_millis"] = ENFORCED
    elif limits.cpu_millis is not None:
        report["cpu_millis"] = "unavailable: needs a cgroup v2 cpu controller"
    if limits.processes is not None and "pids" in controllers:
        files.append(("pids.max", str(limits.processes)))
        report["processes"] = ENFORCED
    elif limits.processes is not None:
        rlimits.append((resource.RLIMIT_NPROC, limits.processes))
        report["processes"] = _ROOT_IS_FREE if is_root else f"{ENFORCED}: counts all processes of the job's user"
    speeds, how = _speeds(limits, disk if "io" in controllers else None)
    return LimitPlan(rlimits=tuple(rlimits), cgroup_files=(*files, *speeds), report=report | how)


def _speeds(limits: Limits, disk: str | None) -> tuple[tuple[tuple[str, str], ...], dict[str, str]]:
    """Return what bounds the speed of *disk* (None: without the controller), and what to tell about it."""
    wanted = {name: speed for name in _SPEEDS if (speed := getattr(limits, name)) is not None}
    if not wanted:
        return (), {}
    if not disk:
        return (), dict.fromkeys(wanted, _NO_IO if disk is None else _NO_DISK)
    line = " ".join([disk, *(f"{_SPEEDS[name]}={speed}" for name, speed in wanted.items())])
    return (("io.max", line),), dict.fromkeys(wanted, ENFORCED)


_EACH_PROCESS = f"{ENFORCED}: for each process of the job, not for all of them together"
_ROOT_IS_FREE = "unavailable: the kernel does not hold root to it without a cgroup v2 pids controller"
_NO_IO = "unavailable: needs a cgroup v2 io controller"
_NO_DISK = "unavailable: the job's directory is not on a disk that the kernel can name (tmpfs, overlay, network)"
_SPEEDS = {"io_read_bps": "rbps", "io_write_bps": "wbps"}
_RLIMITS = {
    "memory_bytes": resource.RLIMIT_AS,
    "open_files": resource.RLIMIT_NOFILE,
    "cpu_seconds": resource.RLIMIT_CPU,
    "file_size_bytes": resource.RLIMIT_FSIZE,
}
