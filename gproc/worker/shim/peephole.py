"""Reading a pipe without taking from it.

A shim that took bytes from the pipe and was killed before it wrote them would lose them beside those that are in the
pipe. So it reads a copy, writes it, and only then takes the bytes: what has left the pipe is in the file. The copy is
one of references to the kernel's pages, see tee(2), so the job's bytes are moved as often as by a plain read.
"""

from __future__ import annotations

import os
from contextlib import suppress

from gproc.worker.kernel import tee, widen_pipe

__all__ = ["Peephole"]

_FIRST_BUFFER = 16 * 1024


class Peephole:
    """A pipe of our own, into which the pages of others are laid to be read, and the buffer they are read into."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._buffer = memoryview(bytearray(_FIRST_BUFFER))

    def look(self, pipe: int) -> memoryview:
        """Return the next bytes in *pipe*, none at its end; they are good until the next look.

        Raises:
            BlockingIOError: There are none now.
        """
        count, read = tee(pipe, self._writer, len(self._buffer)), 0
        # Mostly in one go; but a job may have made its pipe one of packets, see O_DIRECT in pipe(2), read one by one.
        while read < count:
            read += os.readv(self._reader, [self._buffer[read:]])
        return self._buffer[:count]

    def take(self, pipe: int, count: int) -> None:
        """Take *count* bytes, which were looked at, out of *pipe*; make room for longer looks if they were many.

        Fewer are taken if somebody else was faster: a job can read from its own standard output.
        """
        left = count
        with suppress(BlockingIOError):
            while left and (taken := os.splice(pipe, self._null, left, flags=os.SPLICE_F_NONBLOCK)):
                left -= taken
        if count == len(self._buffer) < self._most:
            widen_pipe(self._writer, self._most)
            self._buffer = memoryview(bytearray(self._most))

    def close(self) -> None:
        """Let go of the descriptors."""
        for fd in (self._reader, self._writer, self._null):
            os.close(fd)
