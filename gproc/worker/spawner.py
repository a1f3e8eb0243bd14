"""The spawner: a warm interpreter that turns into shims.

Starting an interpreter for each job would cost some 20 ms and 9 MB. So one is started early, imports what a shim
needs, freezes its heap so that the garbage collector leaves shared pages alone, and forks on request. It has one
thread, no event loop and no other descriptors; it ends when the server's end of its socket is closed.

A request is one datagram: the job directory, and with it the descriptor of a socket on which the new shim speaks to
the server.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from typing import NoReturn

from gproc.errors import GprocError, QuotaExceeded
from gproc.worker import kernel
from gproc.worker.protocol import failure
from gproc.worker.shim.main import Shim, run_shim
from gproc.worker.tree import children, descendants, signal_each

__all__ = ["main"]

_MAX_REQUEST = 65536


def main() -> NoReturn:
    """Serve requests on descriptor 0 until it is closed."""
    requests = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.chdir("/")
    kernel.name_process("gproc-spawner")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _rehearse()
    kernel.become_subreaper()
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()
    while _serve_one(requests):
        pass
    sys.exit(0)


def _rehearse() -> None:
    """Run a job from its first to its last record, to throw it away.

    What happens once in an interpreter (imports inside functions, caches, code that specialises itself as it runs)
    then happens here, on pages that all shims share, and not again in each of them.
    """
    with suppress(OSError, GprocError), tempfile.TemporaryDirectory(prefix="gproc-") as directory:
        os.chdir(directory)
        try:
            Shim.rehearse()
        finally:
            os.chdir("/")


def _serve_one(requests: socket.socket) -> bool:
    data, fds, _, _ = socket.recv_fds(requests, _MAX_REQUEST, 1)
    if not data or not fds:
        return False
    control = socket.socket(fileno=fds[0])
    # Held back until the child is known as a shim: what is not a shim gets killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            requests.close()
            run_shim(data.decode("utf-8", "surrogateescape"), control)
        _shims.add(pid)
    except OSError as error:
        reason = QuotaExceeded(f"the server cannot start another process now ({error.strerror}); try again later")
        control.sendall(failure(reason, error.errno or 0))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
    control.close()
    return True


def _reap(_number: int, _frame: object) -> None:
    """Reap shims that ended; kill what a shim that was killed left behind: it has nobody else to answer to."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            break
        _shims.discard(pid)
    for pid in children(os.getpid()):
        if pid not in _shims:
            signal_each([pid, *descendants(pid)], signal.SIGKILL)


_shims: set[int] = set()

if __name__ == "__main__":
    main()
