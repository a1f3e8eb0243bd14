"""Forks the least shims there can be from an interpreter as warm as the spawner's: they start a program, and wait."""

from __future__ import annotations

import gc
import os
import signal

import gproc.worker.spawner  # noqa: F401 - for what it imports; it is not run
from gproc_bench.drivers.asked import Answer, serve

_held: list[int] = []


def hold(count: int) -> Answer:
    """Fork *count* children; return their pids."""
    _held.extend(_child() for _ in range(count))
    return {"pids": _held}


def release() -> Answer:
    """End what `hold` forked."""
    while _held:
        pid = _held.pop()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return {}


def _child() -> int:
    pid = os.fork()
    if pid == 0:
        reader, _writer = os.pipe()  # the program ends when its shim does, for then nobody can write to it any more
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
        os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=actions, setsid=True)
        while True:
            signal.pause()
    return pid


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    serve({"hold": hold, "release": release})
