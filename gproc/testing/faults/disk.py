"""A disk that is full, and has room again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gproc.errors import StateError

__all__ = ["SmallDisk", "small_disk"]

_BALLAST = "ballast"
_MIB = 1024 * 1024
_LEAVING_SECONDS = 5.0


@dataclass(slots=True)
class SmallDisk:
    """A directory whose disk has little room. Made by `small_disk`."""

    path: Path
    reserve_bytes: int
    """What a server with its state here must be told to leave free (``[disk] reserve``)."""
    is_real: bool
    """Whether writing fails for want of space; if not, only the reserve is used up."""
    _ballast: Path = field(repr=False)

    def free_bytes(self) -> int:
        """Return how much room is left beyond the reserve; negative if the reserve is touched."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize - self.reserve_bytes

    def fill(self) -> None:
        """Leave no room at all."""
        # Room may come back while it is being taken: others may write to a real disk, too.
        if not self.is_real:
            self._grow(self.free_bytes() + 64 * _MIB)
            return
        while (left := self.free_bytes()) > 0:
            self._grow(left)

    def free(self) -> None:
        """Give back the room that `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def _grow(self, size: int) -> None:
        fd = os.open(self._ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # somebody else took the room: it is just as full
                os.posix_fallocate(fd, os.fstat(fd).st_size, max(size, 1))
        finally:
            os.close(fd)


@contextmanager
def small_disk(size: int, *, parent: Path | None = None) -> Iterator[SmallDisk]:
    """Give a disk with *size* bytes of room; it is gone at the end of the block.

    As root it is a file system of its own (tmpfs), and writing fails with ENOSPC. Otherwise it is a directory on the
    disk at hand with a reserve that leaves about *size* bytes, so that a server keeps from writing by its own rules.
    Everything that has files open there must have ended before the block does.
    """
    home = Path(tempfile.mkdtemp(prefix="gproc-disk-", dir=parent))
    try:
        if _mount(home, size):
            try:
                yield SmallDisk(home, 0, is_real=True, _ballast=home / _BALLAST)
            finally:
                _unmount(home)
        else:
            disk = os.statvfs(home)
            reserve = disk.f_bavail * disk.f_frsize - size
            if reserve <= 0:
                raise StateError(f"disk of {home}: has less than {size} bytes of room")
            yield SmallDisk(home, reserve, is_real=False, _ballast=home / _BALLAST)
    finally:
        shutil.rmtree(home)


def _mount(where: Path, size: int) -> bool:
    if os.geteuid() != 0:
        return False
    options = f"size={size},mode=700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "gproc-small-disk", where], check=False, capture_output=True
    )
    return done.returncode == 0


def _unmount(where: Path) -> None:
    """Unmount, with some patience: a shim that has said its last word may still be leaving."""
    give_up_at = time.monotonic() + _LEAVING_SECONDS
    while True:
        done = subprocess.run(["umount", where], check=False, capture_output=True)
        if done.returncode == 0 or time.monotonic() > give_up_at:
            done.check_returncode()
            return
        time.sleep(0.05)
