"""Where the process begins and ends: before anything slow is imported, and after everything was said.

Imports nothing of Gproc by itself, so that Ctrl-C in the first tenths of a second finds somebody who listens.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

__all__ = ["main", "settle_heap"]

_INTERRUPTED = 130
_GARBAGE_AFTER = 20_000
"""How many objects are made between two looks for cycles; at Python's 700 they would be many and find nothing."""
_NAMES = {1: "standard output", 2: "standard error"}


class _Named(io.FileIO):
    """A standard stream whose errors say which one it is."""

    def write(self, data: object, /) -> int:
        """Write; raise an `OSError` that names the stream."""
        try:
            return super().write(data)  # type: ignore[arg-type]  # whatever the buffer above hands down
        except OSError as error:
            raise OSError(error.errno, error.strerror, _NAMES[self.fileno()]) from None


def main() -> NoReturn:
    """Run the command line of this process, and end the process with its exit code."""
    gc.disable()  # what is imported is no garbage: see `settle_heap`
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else whoever started us wants it ignored
    if is_ours:
        signal.signal(signal.SIGINT, _leave)
        sys.unraisablehook = _leave_if_interrupted
    _open_streams()
    try:
        from gproc.cli.main import run

        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if is_ours:
        signal.signal(signal.SIGINT, _leave)
    _close_streams()
    os._exit(code)  # taking the interpreter apart takes as long as many a request


def settle_heap() -> None:
    """Look for cycles from now on, but never in what there is already: modules stay.

    To be called once everything is imported, by whatever may take longer than an answer.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER)
    gc.enable()


def _leave(_signum: int, _frame: object) -> None:
    os._exit(_INTERRUPTED)


def _leave_if_interrupted(ignored: sys.UnraisableHookArgs, /) -> None:
    """Leave where Ctrl-C came while code ran that can raise nothing, as each import does: else it would be lost."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        os._exit(_INTERRUPTED)
    sys.__unraisablehook__(ignored)


def _open_streams() -> None:
    """Give the process all three standard descriptors, and streams that name themselves when they fail.

    Were one left closed, the next socket would get its number, and be written to. What is closed becomes a descriptor
    that cannot be used either: reading ends at once, output fails, talk is lost.
    """
    for fd, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))  # None if it was closed
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def _stream(fd: int, found: TextIO | None) -> io.TextIOWrapper:
    raw = _Named(fd, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(found, "encoding", None) or "utf-8",
        errors="backslashreplace",  # what the terminal's alphabet does not have is spelt, not refused
        line_buffering=raw.isatty() or fd == 2,
    )


def _close_streams() -> None:
    """Flush what is left; what cannot be written is dropped, or the interpreter would complain at its end."""
    for fd, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
