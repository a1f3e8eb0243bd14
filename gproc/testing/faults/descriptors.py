"""A process that has nearly run out of descriptors."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["few_descriptors"]


@contextmanager
def few_descriptors(pid: int = 0, *, spare: int = 0) -> Iterator[int]:
    """Let process *pid* (0: this one) open only *spare* more descriptors until the end of the block; yield the bound.

    Descriptors below the bound that are closed meanwhile can be used again, so count on *spare* only if it holds still.
    """
    target = pid or os.getpid()
    soft, hard = resource.prlimit(target, resource.RLIMIT_NOFILE)
    listed = os.listdir(f"/proc/{target}/fd")  # noqa: PTH208 - names, not paths
    # One of this program's own was for the listing itself.
    bound = _bound({int(fd) for fd in listed if os.path.lexists(f"/proc/{target}/fd/{fd}")}, spare)
    resource.prlimit(target, resource.RLIMIT_NOFILE, (bound, hard))
    try:
        yield bound
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(target, resource.RLIMIT_NOFILE, (soft, hard))


def _bound(taken: set[int], spare: int) -> int:
    """Return the bound below which exactly *spare* numbers are free: new descriptors take the lowest free number."""
    bound, free = 0, 0
    while free < spare or bound in taken:
        free += bound not in taken
        bound += 1
    return bound
