"""A shim written straight down: what no shim of Gproc can do without, in one function, for its memory to be weighed.

It locks and reads the record of what is to run, makes the files of output and index, two wide pipes and the socket
where servers come in, starts the program, writes the first record, tells its server and waits for what comes next. It
checks nothing, knows no limits, and would not know what to do with what comes.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import time
from zlib import crc32

__all__ = ["rehearse", "start", "write_spec"]

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def write_spec(directory: str) -> None:
    """Make *directory*, and write down there what is to run: a program that ends with its shim."""
    os.mkdir(directory)
    request = {"command": "/bin/cat", "args": [], "env": {}, "labels": {}, "name": "", "working_directory": "/"}
    spec = {"id": "job", "owner": "alice", "nonce": os.urandom(8).hex(), "created_at": time.time(), "request": request}
    with open(f"{directory}/spec.json", "w") as file:
        json.dump(spec, file)


def rehearse(directory: str) -> None:
    """Run a program to its end, so that what happens once in an interpreter has happened."""
    write_spec(directory)
    audience, control = socket.socketpair()
    with audience, control:
        poller, pid, fds = start(directory, control)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        poller.close()
        for fd in fds:
            os.close(fd)
        os.waitpid(pid, 0)
    os.chdir("/")


def start(directory: str, control: socket.socket) -> tuple[select.epoll, int, tuple[int, ...]]:
    """Start what the spec in *directory* says; return what to wait on, its pid, and the descriptors to hold open."""
    os.chdir(directory)
    poller = select.epoll()
    lock = os.open("spec.json", os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    spec = json.loads(os.read(lock, 65536))
    request = spec["request"]
    output = os.open("output", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    index = os.open("index", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    signals, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _note_nothing)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind("shim.sock")
    listener.listen(8)

    stdin, held = os.pipe2(os.O_CLOEXEC)  # nobody can write to it any more once the shim is gone
    (stdout, to_stdout), (stderr, to_stderr) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    for fd in (stdout, stderr):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(fd, False)
    layout = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((stdin, to_stdout, to_stderr))]
    env = {"PATH": "/usr/bin:/bin", "GPROC_JOB": spec["id"], **request["env"]}
    pid = os.posix_spawn(request["command"], [request["command"]], env, file_actions=layout, setsid=True)
    for fd in (stdin, to_stdout, to_stderr):
        os.close(fd)

    status = {"id": spec["id"], "owner": spec["owner"], "state": "running", "pid": pid, "started_at": time.time()}
    body = _to_json(status | request | {"shim": {"pid": os.getpid(), "nonce": spec["nonce"]}}).encode()
    record = os.open("status.json.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.pwrite(record, b'{"gproc":1,"crc32":"%08x","record":%s}\n' % (crc32(body), body), 0)
    os.rename("status.json.new", "status.json")
    control.send(b'{"status":%s}\n' % body)

    for fd in (signals, stdout, stderr, listener.fileno(), control.fileno()):
        poller.register(fd, select.EPOLLIN)
    return poller, pid, (lock, output, index, signals, wakeup, listener.detach(), held, stdout, stderr, record)


def _note_nothing(_number: int, _frame: object) -> None:
    pass
