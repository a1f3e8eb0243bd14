"""The few calls of the kernel that Python has no name for. See prctl(2), fcntl(2) and tee(2)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
from functools import cache
from typing import NoReturn

__all__ = [
    "become_subreaper",
    "boot_id",
    "forbid_new_privileges",
    "name_process",
    "oom_score",
    "read_file",
    "set_oom_score",
    "tee",
    "widen_pipe",
]

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SPLICE_F_NONBLOCK = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
_libc.tee.restype = ctypes.c_ssize_t


def become_subreaper() -> None:
    """Adopt descendants whose parents die, instead of leaving them to process 1."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """Make sure that this process and its descendants never gain privileges by executing something."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def name_process(name: str) -> None:
    """Set the name that `ps` and `top` show; 15 bytes at most."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def widen_pipe(fd: int, size: int) -> None:
    """Give a pipe room for *size* bytes, or leave it as it is if that is not allowed."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)


def tee(source: int, target: int, most: int) -> int:
    """Lay what is in the pipe *source*, *most* bytes of it, into the pipe *target*, too; return how many, 0 at its end.

    Raises:
        BlockingIOError: There is nothing in it now.
    """
    while (count := _libc.tee(source, target, most, _SPLICE_F_NONBLOCK)) < 0:
        if ctypes.get_errno() != errno.EINTR:  # a signal: what PEP 475 does for Python's own calls
            _raise_errno()
    return int(count)


@cache
def boot_id() -> str:
    """Return what tells this boot of the machine from all others."""
    return read_file("/proc/sys/kernel/random/boot_id").decode("ascii").strip()


def oom_score() -> int:
    """Return what `set_oom_score` sets."""
    return int(read_file("/proc/self/oom_score_adj"))


def set_oom_score(score: int) -> None:
    """Make this process a likelier (up to 1000) or unlikelier (down to -1000) victim when memory runs out.

    Left as it is if that is not allowed.
    """
    with contextlib.suppress(OSError):
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"%d" % score)
        finally:
            os.close(fd)


def read_file(path: str) -> bytes:
    """Return what a file of /proc says, every page; the file objects of Python cost a shim more than the reading."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 65536), b""))
    finally:
        os.close(fd)


def _prctl(option: int, argument: int | ctypes.c_char_p) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        _raise_errno()


def _raise_errno() -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
