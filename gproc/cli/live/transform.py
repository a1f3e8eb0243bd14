"""What becomes of a chunk before it is printed: nothing, made safe for a terminal, or stamped with the time. Pure."""

from __future__ import annotations

from collections.abc import Callable

from gproc.model import Chunk
from gproc.model.document import format_time

__all__ = ["Safe", "Stamped", "Transform", "as_it_is"]

Transform = Callable[[Chunk | None], bytes | memoryview]
"""Chunk to bytes; None is the end, for what was held back."""


def as_it_is(chunk: Chunk | None) -> bytes | memoryview:
    """Return the bytes of the job."""
    return b"" if chunk is None else chunk.data


class Safe:
    """Lets colours, newlines, tabs and carriage returns through; resets the colour at the end."""

    def __init__(self) -> None:
        from gproc.cli.render.escape import TerminalFilter

        self._filter = TerminalFilter()

    def __call__(self, chunk: Chunk | None) -> bytes:
        """Return what a terminal may be given."""
        return self._filter.feed(b"" if chunk is None else chunk.data, final=chunk is None).encode()


class Stamped:
    """Puts the time before each line, after another transform has had the bytes."""

    def __init__(self, inner: Transform) -> None:
        self._inner = inner
        self._at_line_start = True

    def __call__(self, chunk: Chunk | None) -> bytes | memoryview:
        """Return the lines of the chunk, each with the time when its beginning was read from the job."""
        data = self._inner(chunk)
        if chunk is None or not data:
            return data
        stamp = format_time(chunk.time).encode() + b" "
        lines = bytes(data).split(b"\n")
        ends_line = lines[-1] == b""
        body = (b"\n" + stamp).join(lines[:-1] if ends_line else lines) + (b"\n" if ends_line else b"")
        stamped = stamp + body if self._at_line_start else body
        self._at_line_start = ends_line
        return stamped
