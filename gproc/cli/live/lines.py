"""Output of several jobs in one stream: whole lines, each with its job before it. Pure."""

from __future__ import annotations

__all__ = ["LineSplitter"]

_LONGEST = 1 << 16


class LineSplitter:
    """Cuts a stream of bytes into lines without their ends; a line that grows too long is cut."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Return the lines that are complete now."""
        *lines, self._held = (self._held + bytes(data)).split(b"\n")
        if len(self._held) > _LONGEST:
            lines.append(self._held)
            self._held = b""
        return lines

    def rest(self) -> list[bytes]:
        """Return what came after the last end of line, if anything did."""
        rest, self._held = self._held, b""
        return [rest] if rest else []
