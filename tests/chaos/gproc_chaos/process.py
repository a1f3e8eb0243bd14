"""What a process of somebody else holds, as /proc tells it."""

from __future__ import annotations

import os
import re
from dataclasses import astuple, dataclass
from pathlib import Path

from gproc.worker.tree import children

__all__ = ["Holdings", "cpu_seconds", "peak_bytes", "reset_peak", "resident_bytes"]


@dataclass(frozen=True, slots=True)
class Holdings:
    """Descriptors, threads, children and zombies of one process."""

    descriptors: int
    threads: int
    children: int
    zombies: int

    @classmethod
    def of(cls, pid: int) -> Holdings:
        """Return what process *pid* holds now."""
        young = list(children(pid))
        return cls(
            len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - only how many
            len(os.listdir(f"/proc/{pid}/task")),  # noqa: PTH208
            len(young),
            sum(_is_zombie(child) for child in young),
        )

    def is_within(self, other: Holdings) -> bool:
        """Whether the process holds no more of anything than *other* says."""
        return all(mine <= theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True))

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.threads} threads, {self.children} children, {self.zombies} zombies"
        )


def resident_bytes(pid: int) -> int:
    """Return the memory of the process that is its own and in use now."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Anonymous") * 1024


def cpu_seconds(pid: int) -> float:
    """Return how long the process has been computing, for itself or in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """Return the most memory that the process had resident since `reset_peak`."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM") * 1024


def reset_peak(pid: int) -> None:
    """Let the peak begin at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _kilobytes(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{path} does not tell {name}")
    return int(found[1])


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
