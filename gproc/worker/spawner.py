"""The spawner: a warm interpreter that turns into shims.

Starting an interpreter for each job would cost some 20 ms and 9 MB. So one is started early, imports what a shim
needs, freezes its heap so that the garbage collector leaves shared pages alone, and forks shims. One shim always stands
by, so that a job does not wait for a fork. The spawner has one thread and no event loop; it ends when the server's end
of its socket is closed.

What is imported here must have nothing to do after a fork, as `threading`, `logging` and `random` have (they make their
locks and seeds anew): each page that this touches would be a shim's own, more than half a megabyte of them.

A request is one datagram: the job directory, and with it the descriptor of a socket on which the new shim speaks to
the server. It is handed to the shim that stands by, and the next one is forked.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

from gproc.errors import GprocError, QuotaExceeded
from gproc.worker import kernel
from gproc.worker.protocol import failure
from gproc.worker.shim.main import Shim, detach, run_shim
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
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whatever was blocked in who executed the server
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _rehearse()
    kernel.become_subreaper()
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()
    _serve(requests)
    sys.exit(0)


def _rehearse() -> None:
    """Run a job from its first to its last record, to throw it away.

    What happens once in an interpreter (imports inside functions, caches, code that specialises itself as it runs)
    then happens here, on pages that all shims share, and not again in each of them.
    """
    # Without `tempfile`, see above; that the name is not taken is seen when the directory is made.
    directory = f"{os.environ.get('TMPDIR', '/tmp')}/gproc-{os.urandom(8).hex()}"  # noqa: S108
    with suppress(OSError, GprocError):
        os.mkdir(directory, 0o700)
        os.chdir(directory)
        try:
            Shim.rehearse()
        finally:
            for name in os.listdir("."):
                os.unlink(name)
            os.chdir("/")
            os.rmdir(directory)


def _serve(requests: socket.socket) -> None:
    while True:
        standby = None
        with suppress(OSError):
            standby = _fork_shim(requests)
        order = _receive(requests)
        if order is None:
            return
        request, control = order
        with control:
            try:
                _give(request, control, standby, requests)
            except OSError as error:
                _refuse(control, error)


def _give(request: bytes, control: socket.socket, standby: socket.socket | None, requests: socket.socket) -> None:
    """Have a shim do what is requested; raise `OSError` if there is none and none can be forked."""
    try:
        _hand_over(request, control, standby or _fork_shim(requests, control))
    except ConnectionError:
        # Somebody killed the shim that stood by: the job gets one that was just forked.
        _hand_over(request, control, _fork_shim(requests, control))


def _hand_over(request: bytes, control: socket.socket, shim: socket.socket) -> None:
    with shim:
        socket.send_fds(shim, [request], [control.fileno()])


def _refuse(control: socket.socket, error: OSError) -> None:
    """Tell the server that there is no shim for its job."""
    reason = QuotaExceeded(f"the server cannot start another process now ({error.strerror}); try again later")
    with suppress(OSError):
        control.sendall(failure(reason, error.errno or 0))


def _fork_shim(*held: socket.socket) -> socket.socket:
    """Fork a shim that waits for a job; return the socket on which it waits. *held* are not for it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Held back until the child is known as a shim: what is not a shim gets killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for other in (ours, *held):
                other.close()
            _stand_by(theirs)
        _shims.add(pid)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
        theirs.close()
    return ours


def _stand_by(orders: socket.socket) -> NoReturn:
    """Be a shim without a job, until there is one, or the spawner is gone."""
    detach()
    order = _receive(orders)
    if order is None:
        os._exit(0)
    orders.close()
    request, control = order
    run_shim(os.fsdecode(request), control)


def _receive(orders: socket.socket) -> tuple[bytes, socket.socket] | None:
    """Return the next request and the socket that came with it, or None when nobody will ask any more."""
    request, fds, _, _ = socket.recv_fds(orders, _MAX_REQUEST, 1)
    if not request or not fds:
        return None
    # What is received is inheritable otherwise: `recv_fds` does not pass MSG_CMSG_CLOEXEC on.
    os.set_inheritable(fds[0], False)
    return request, socket.socket(fileno=fds[0])


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
