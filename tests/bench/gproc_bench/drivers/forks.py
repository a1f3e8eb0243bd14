"""Forks the least shims there can be from an interpreter as warm as the spawner's, for them to be weighed."""

from __future__ import annotations

import gc
import os
import signal
import socket

import gproc.worker.spawner  # noqa: F401 - for what it imports; it is not run
from gproc_bench.drivers import plain_shim
from gproc_bench.drivers.asked import Answer, serve

_held: dict[int, socket.socket] = {}
"""The children, each with the other end of what it takes for its server."""


def hold(count: int, shim: str, place: str) -> Answer:
    """Fork *count* shims with their job directories in *place*; return their pids."""
    plain_shim.rehearse(f"{place}/rehearsal")
    jobs = [(f"{place}/{number}", *socket.socketpair()) for number in range(count)]
    for directory, _, _ in jobs:
        plain_shim.write_spec(directory)
    gc.collect()
    gc.freeze()
    for directory, ours, theirs in jobs:
        pid = os.fork()
        if pid == 0:
            try:
                _SHIMS[shim](directory, theirs)
            finally:
                os._exit(1)  # else one that failed would go on to answer in its parent's place
        _held[pid] = ours
    return {"pids": list(_held)}


def release() -> Answer:
    """End what `hold` forked."""
    while _held:
        pid, connection = _held.popitem()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        connection.close()
    return {}


def _fork_and_spawn(_directory: str, _control: socket.socket) -> None:
    """Start a program, and wait."""
    reader, _writer = os.pipe()  # the program ends when its shim does, for then nobody can write to it any more
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
    os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=actions, setsid=True)
    while True:
        signal.pause()


def _plain_shim(directory: str, control: socket.socket) -> None:
    """Do besides what a shim cannot do without."""
    os.setsid()
    poller, *_held_open = plain_shim.start(directory, control)
    while True:
        poller.poll()


_SHIMS = {"fork and spawn": _fork_and_spawn, "plain shim": _plain_shim}

if __name__ == "__main__":
    serve({"hold": hold, "release": release})
