"""From the job's pipes into its output file."""

from __future__ import annotations

import _thread
import os
import time
from contextlib import suppress

from gproc.store.index import Kind
from gproc.store.writer import OutputWriter
from gproc.worker.kernel import widen_pipe
from gproc.worker.shim.loop import Loop
from gproc.worker.shim.peephole import Peephole

__all__ = ["Pump"]

_PIPE_BYTES = 1 << 20
_SYNC_SECONDS = 5.0

_SMALL_READ = 64 * 1024
_LARGE_READ = 256 * 1024
_LONGEST_REST = 0.002
_SHORTEST_REST = 0.000_05
_READS_WITHOUT_REST = 16.0


class Pace:
    """Tells a flood of small writes from a few of them.

    Each turn of a shim wakes the server, and each message of the server a client: for a line at a time, in a flood,
    that takes many times what the job does. So a few small reads are free, and then there is one in two milliseconds,
    for whatever came meanwhile. Where so much comes meanwhile that the pipe might be full, and the job wait, the rests
    become short. Large reads are always worth their turn.
    """

    def __init__(self) -> None:
        self._free = _READS_WITHOUT_REST
        self._rest = _LONGEST_REST
        self._as_of = 0.0

    def rest(self, now: float) -> float:
        """Return how many seconds to rest before the next read, mostly none."""
        self._free = min(_READS_WITHOUT_REST, self._free + (now - self._as_of) / _LONGEST_REST)
        self._as_of = now
        return self._rest if self._free < 1.0 else 0.0

    def has_read(self, count: int) -> None:
        """Take note of a read of *count* bytes."""
        if count < _SMALL_READ:
            self._free -= 1.0
            self._rest = min(_LONGEST_REST, self._rest * 2)
        elif count >= _LARGE_READ:
            self._rest = max(_SHORTEST_REST, self._rest / 4)


class Pump:
    """Reads both pipes as they fill and appends to the output; never lets the job wait for a disk that is full."""

    def __init__(self, loop: Loop, writer: OutputWriter, *, files: tuple[int, ...]) -> None:
        self._loop = loop
        self._writer = writer
        self._files = files
        """What *writer* writes to, in the order in which it is brought to the disk."""
        self._peephole = Peephole(_PIPE_BYTES)
        self._open: dict[int, Kind] = {}
        self._syncing = _thread.allocate_lock()
        """Held while the output is brought to the disk aside. `threading` would have work to do in each new shim."""
        self._is_synced = True
        self._pace = Pace()

    def open_pipe(self, kind: Kind) -> int:
        """Make the pipe of one stream; return the end that the job writes to, for the caller to close."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        widen_pipe(reader, _PIPE_BYTES)
        self._open[reader] = kind
        self._loop.watch(reader, lambda _: self._pump(reader))
        return writer

    @property
    def is_done(self) -> bool:
        """Whether nobody can write to the pipes any more."""
        return not self._open

    def drain(self) -> None:
        """Move everything that is in the pipes now."""
        for reader in list(self._open):
            while self._move(reader):
                pass

    def stop_reading(self) -> None:
        """Close the pipes, whoever may still hold the other ends."""
        for reader in list(self._open):
            self._end(reader)

    def close(self) -> None:
        """Let go of all descriptors."""
        self.stop_reading()
        self._peephole.close()

    def sync(self) -> None:
        """Return when the output is on the disk."""
        with self._syncing:
            if not self._is_synced:
                _sync(self._files)

    def _pump(self, reader: int) -> None:
        if rest := self._pace.rest(time.monotonic()):
            time.sleep(rest)
        self._pace.has_read(self._move(reader))

    def _move(self, reader: int) -> int:
        """Move one buffer of bytes; return how many, 0 at the end or if there are none now."""
        try:
            data = self._peephole.look(reader)
        except BlockingIOError:
            return 0
        count = len(data)
        if count == 0:
            self._end(reader)
            return 0
        self._writer.append(self._open[reader], data, time.time_ns())
        self._peephole.take(reader, count)
        if self._is_synced:
            self._is_synced = False
            self._loop.at("sync", _SYNC_SECONDS, self._sync_aside)
        return count

    def _end(self, reader: int) -> None:
        self._loop.forget(reader)
        os.close(reader)
        del self._open[reader]

    def _sync_aside(self) -> None:
        """Bring the output to the disk while the job goes on writing."""
        if not self._syncing.acquire(blocking=False):
            self._loop.at("sync", _SYNC_SECONDS, self._sync_aside)
            return
        self._is_synced = True
        try:
            _thread.start_new_thread(self._sync_and_release, ())
        except RuntimeError:
            # There is no room for another thread, perhaps because of what the job does: then the job waits.
            self._sync_and_release()

    def _sync_and_release(self) -> None:
        try:
            _sync(self._files)
        finally:
            self._syncing.release()


def _sync(files: tuple[int, ...]) -> None:
    for fd in files:
        # If the disk fails, what can be read back is still shown, and nothing better can be done here.
        with suppress(OSError):
            os.fdatasync(fd)
