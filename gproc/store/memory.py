"""Where chunks are read into: the same memory again, once nobody can see any more what was in it.

New memory is filled with zeros first, and pushes out of the processor's cache what is needed next: together that is a
twentieth of what a replay costs the server.
"""

from __future__ import annotations

import threading

__all__ = ["ChunkMemory"]


class ChunkMemory(threading.local):
    """Memory for chunks of *size* bytes or little less, for all who read; each thread has its own."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: bytearray | None = None

    def take(self, size: int) -> memoryview:
        """Return *size* bytes, with anything in them; nobody else gets them as long as a view of them exists."""
        if not self._size // 2 < size <= self._size:
            return memoryview(bytearray(size))  # whoever keeps a small chunk does not keep a large one's memory
        if self._latest is None or _is_seen(self._latest):
            self._latest = bytearray(self._size)
        return memoryview(self._latest)[:size]


def _is_seen(buffer: bytearray) -> bool:
    """Whether there is a view of *buffer*: until the last one is gone, its length cannot change."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return True
    return False
