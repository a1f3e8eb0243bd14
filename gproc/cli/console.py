"""Where things are printed: the one place that makes consoles, and talk on stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

__all__ = [
    "being_mended",
    "can_redraw",
    "error_line",
    "has_colour",
    "is_terminal",
    "make_console",
    "note",
    "paint",
    "show_place",
    "utc_now",
    "wrote",
]

_LONGEST = 1000
_RESET = b"\x1b[0m"
_unfinished: set[int] = set()
"""The standard descriptors whose last line was begun by a job and not ended."""


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at *stream*."""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def can_redraw(stream: TextIO) -> bool:
    """Whether *stream* is a terminal on which panes, with their borders, can be drawn over what is there."""
    has_borders = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return is_terminal(stream) and has_borders and os.environ.get("TERM") not in ("dumb", "unknown")


def has_colour(stream: TextIO) -> bool:
    """Whether *stream* may be given colours: a terminal that can, and a person who did not say NO_COLOR."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def utc_now() -> datetime:
    """Return this moment: for those who print; what makes things to be printed is told."""
    from datetime import UTC, datetime

    return datetime.now(UTC)


def make_console(stream: TextIO | None = None) -> Console:
    """Return the console of *stream*, standard output if None. Imports rich."""
    from rich.console import Console

    target = sys.stdout if stream is None else stream
    # No columns means that nobody knows how many: rich would draw nothing, and that in silence.
    environ = {name: value for name, value in os.environ.items() if (name, value) != ("COLUMNS", "0")}
    return Console(
        file=target,
        color_system="auto" if has_colour(target) else None,
        force_terminal=is_terminal(target),  # rich has variables of its own for both
        force_interactive=can_redraw(target),
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )


def paint(text: str, codes: str, stream: TextIO | None = None) -> str:
    """Return *text* in a colour, given as SGR codes, if *stream* (standard error if None) may have one."""
    return f"\x1b[{codes}m{text}\x1b[0m" if has_colour(sys.stderr if stream is None else stream) else text


def wrote(fd: int, data: bytes | memoryview) -> None:
    """Take note that a job's output went to that standard descriptor, so that talk begins on a line of its own."""
    if data[-len(_RESET) :] == _RESET:  # it moves nothing
        data = data[: -len(_RESET)]
    if data:
        (_unfinished.discard if data[-1:] == b"\n" else _unfinished.add)(fd)


def note(text: str) -> None:
    """Say something to people: one line on stderr. Nobody may be listening."""
    _say(f"{paint('gproc:', '36')} {_one_line(text)}\n")


def being_mended(error: Exception, how: str = "connecting again, no output is lost") -> str:
    """Return what *error* says, and *how* it is being mended, instead of what people might do about it."""
    from gproc.errors import split_advice

    return f"{split_advice(str(error))[0]}; {how}"


def error_line(text: str) -> None:
    """Say what went wrong: one line on stderr."""
    _say(f"{paint('gproc:', '1;31')} {_one_line(text)}\n")


def show_place(error: BaseException) -> None:
    """Show where *error* happened, if GPROC_DEBUG asks for it."""
    if os.environ.get("GPROC_DEBUG"):
        import traceback

        traceback.print_exception(error)


def _one_line(text: str) -> str:
    from gproc.cli.render.escape import visible

    # What somebody typed may be in it, and be as long as a command line can be.
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return visible(" ".join(line.strip() for line in short.splitlines()))


def _say(text: str) -> None:
    try:
        if 2 in _unfinished or (1 in _unfinished and os.path.sameopenfile(1, 2)):
            sys.stderr.write("\n")
            _unfinished.clear()
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
