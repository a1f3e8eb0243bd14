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
from typing import NoReturn

from gproc.worker import kernel
from gproc.worker.protocol import encode
from gproc.worker.shim.main import run_shim

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
    # Shims that end are nobody's business here: the kernel reaps them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while _serve_one(requests):
        pass
    sys.exit(0)


def _serve_one(requests: socket.socket) -> bool:
    data, fds, _, _ = socket.recv_fds(requests, _MAX_REQUEST, 1)
    if not data or not fds:
        return False
    control = socket.socket(fileno=fds[0])
    try:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            run_shim(data.decode("utf-8", "surrogateescape"), control)
    except OSError as error:
        control.sendall(encode({"failed": {"stage": 0, "errno": error.errno, "message": error.strerror}}))
    control.close()
    return True


if __name__ == "__main__":
    main()
