"""A cgroup v2 subtree of a test's own, where the kernel and our rights allow one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["cgroup_subtree"]

_NEEDED = {"cpu", "io", "memory", "pids"}


@contextmanager
def cgroup_subtree(name: str) -> Iterator[Path]:
    """Give a cgroup below the root that has all controllers to hand on; skip the test where there can be none."""
    mount = _mount()
    if mount is None or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup v2")
    for controller in _NEEDED:
        with suppress(OSError):
            (mount / "cgroup.subtree_control").write_text(f"+{controller}")
    missing = _NEEDED.difference((mount / "cgroup.subtree_control").read_text().split())
    if missing:
        pytest.skip(f"the cgroup v2 here has no controllers for {', '.join(sorted(missing))}")
    subtree = mount / f"gproc-{name}-{os.getpid()}"
    subtree.mkdir()
    try:
        yield subtree
    finally:
        groups = [path for path in subtree.rglob("*") if path.is_dir()]
        for group in (*reversed(groups), subtree):
            group.rmdir()


def _mount() -> Path | None:
    lines = Path("/proc/mounts").read_text(encoding="ascii").splitlines()
    return next((Path(line.split()[1]) for line in lines if line.split()[2] == "cgroup2"), None)
