"""How long after their writing the lines of `drivers.stamps` arrived. Pure."""

from __future__ import annotations

__all__ = ["Delays"]


class Delays:
    """Takes pieces of a stream and when they came; knows each line's delay in seconds once the line is whole."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._rest = b""

    def add(self, data: bytes | memoryview, now_ns: int) -> None:
        """Take one piece, cut anywhere."""
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        self.seconds += [(now_ns - int(line[:20])) / 1e9 for line in lines]
