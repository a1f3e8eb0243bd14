"""How a program is brought to life: fork, a clean slate, exec, and a word back if it failed.

Between fork and exec the child makes itself a session leader, lays its three descriptors out and closes all others,
resets every signal, applies limits, gives up privileges if it is to run as somebody else, and enters the directory,
in that order. What goes wrong on the way is reported through a pipe that closes by itself when exec succeeds.

Python between fork and exec costs some 2 ms, nearly all of it for pages that are copied because both processes touch
them. A shim that has nothing to change but signals, session and descriptors leaves all this to posix_spawn(3),
which takes 0.1 ms.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

from gproc.errors import CommandNotExecutable, CommandNotFound, InvalidArgument, QuotaExceeded, StartFailed
from gproc.model.spec import RunAs
from gproc.worker import kernel

__all__ = ["DEFAULT_PATH", "JOB_VARIABLE", "Launch", "LaunchError", "Stage", "clean_environment", "explain", "launch"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
JOB_VARIABLE = "GPROC_JOB"
"""Names the job in its own environment. What a job without a shim left behind is known by it: ids cannot be guessed."""
UMASK = 0o022
_ALL = 1 << 20
_WANT_OF_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
_REPORT = struct.Struct("<ii")
_EVERY_SIGNAL = tuple(map(int, signal.valid_signals()))


class Stage(IntEnum):
    """What the child was doing."""

    FORK = 0
    PREPARE = 1
    LIMITS = 2
    USER = 3
    DIRECTORY = 4
    EXEC = 5


class LaunchError(OSError):
    """The program was not executed; `stage` says how far it came, `errno` why."""

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.stage = stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything that is decided before the fork."""

    command: str
    args: Sequence[str]
    env: Mapping[str, str]
    directory: str
    stdin: int
    stdout: int
    stderr: int
    run_as: RunAs | None = None
    rlimits: Sequence[tuple[int, int]] = ()
    """Pairs of a resource (see `resource.setrlimit`) and its bound."""
    cgroup_procs: str = ""
    """The `cgroup.procs` file to enter through; empty for none."""
    closes_on_exec: bool = False
    """Whether this process has one thread, and no descriptor that a program would inherit: a shim has neither."""


def clean_environment(home: str, additions: Mapping[str, str]) -> dict[str, str]:
    """Return the small environment every job starts with, and what was asked for."""
    return {"PATH": DEFAULT_PATH, "HOME": home, "LANG": "C.UTF-8", **additions}


def launch(plan: Launch) -> int:
    """Execute the program and return its process id.

    Raises `LaunchError`; then nothing is left of the attempt.
    """
    candidates = _candidates(plan.command, plan.env.get("PATH", DEFAULT_PATH))
    argv = [plan.command, *plan.args]
    return _spawn(plan, candidates, argv) if _can_spawn(plan) else _fork(plan, candidates, argv)


def _can_spawn(plan: Launch) -> bool:
    in_force = all(resource.getrlimit(which) == (bound, bound) for which, bound in plan.rlimits)
    return plan.closes_on_exec and in_force and plan.run_as is None and not plan.cgroup_procs


def _spawn(plan: Launch, candidates: Sequence[str], argv: list[str]) -> int:
    """Let posix_spawn do it; directory and mask of this process are what the program inherits."""
    with _at_fork():
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    umask, stage = os.umask(UMASK), Stage.DIRECTORY
    try:
        os.chdir(plan.directory)
        stage = Stage.EXEC
        actions = [
            (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((plan.stdin, plan.stdout, plan.stderr))
        ]

        def execute(file: str) -> int:
            os.stat(file)  # a file that is not there is not worth a process
            return os.posix_spawn(
                file, argv, plan.env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_EVERY_SIGNAL
            )

        return _first_of(candidates, execute)
    except OSError as error:
        if error.errno in _WANT_OF_ROOM:
            stage = Stage.FORK
        raise LaunchError(stage, error.errno or errno.EIO) from error
    finally:
        os.fchdir(here)
        os.close(here)
        os.umask(umask)


def _fork(plan: Launch, candidates: Sequence[str], argv: list[str]) -> int:
    with _at_fork():
        reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        with _at_fork():
            pid = os.fork()
        if pid == 0:
            _become(plan, candidates, argv, writer)
        os.close(writer)
        writer = -1
        report = os.read(reader, _REPORT.size)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if report:
        os.waitpid(pid, 0)
        stage, number = _REPORT.unpack(report)
        raise LaunchError(Stage(stage), number)
    return pid


@contextmanager
def _at_fork() -> Iterator[None]:
    """Tell want of descriptors or processes as what it is: the child does not exist yet."""
    try:
        yield
    except OSError as error:
        raise LaunchError(Stage.FORK, error.errno or errno.EAGAIN) from error


def _become(plan: Launch, candidates: Sequence[str], argv: list[str], report_fd: int) -> NoReturn:
    """Turn this child into the program; it never returns."""
    stage = Stage.PREPARE
    try:
        os.setsid()
        report_fd = _lay_out_descriptors(plan, report_fd)
        _reset_signals()
        os.umask(UMASK)
        stage = Stage.LIMITS
        _enter_cgroup(plan.cgroup_procs)
        _apply_rlimits(plan.rlimits)
        if plan.run_as is not None:
            stage = Stage.USER
            _drop_privileges(plan.run_as)
        stage = Stage.DIRECTORY
        os.chdir(plan.directory)
        stage = Stage.EXEC
        _first_of(candidates, lambda file: os.execve(file, argv, plan.env))  # noqa: S606 - the point of it all
    except OSError as error:
        os.write(report_fd, _REPORT.pack(stage, error.errno or errno.EIO))
    except BaseException:  # noqa: BLE001 - a child must never go on as a copy of its parent
        os.write(report_fd, _REPORT.pack(stage, errno.EINVAL))
    finally:
        os._exit(127)


def _lay_out_descriptors(plan: Launch, report_fd: int) -> int:
    """Make the given descriptors 0, 1 and 2 and close all others but the report; return where that is now."""
    high = [os.dup(report_fd), os.dup(plan.stdin), os.dup(plan.stdout), os.dup(plan.stderr)]
    while min(high) < 4:
        high = [os.dup(fd) for fd in high]
    for target, source in enumerate(high[1:]):
        os.dup2(source, target, inheritable=True)
    os.dup2(high[0], 3, inheritable=False)
    os.closerange(4, _ALL)
    return 3


def _reset_signals() -> None:
    """Undo what exec would keep: signals that are ignored, or may be (None: set by somebody else than Python)."""
    for number in signal.valid_signals():
        if signal.getsignal(number) in (signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter_cgroup(procs_file: str) -> None:
    if procs_file:
        fd = os.open(procs_file, os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, b"0")
        os.close(fd)


def _apply_rlimits(rlimits: Sequence[tuple[int, int]]) -> None:
    """Set each bound, or the hard one that is lower already, and make sure that it holds."""
    for which, bound in rlimits:
        hard = resource.getrlimit(which)[1]
        effective = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (effective, effective))
        if resource.getrlimit(which) != (effective, effective):
            raise OSError(errno.EINVAL, "the limit was not taken")


def _drop_privileges(user: RunAs) -> None:
    """Become *user* and prove that there is no way back."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if user.uid != 0:
        try:
            os.setuid(0)
        except PermissionError:
            pass
        else:
            raise PermissionError(errno.EPERM, "privileges could be taken back")
        kernel.forbid_new_privileges()


def _candidates(command: str, path: str) -> Sequence[str]:
    """Return the files that *command* may mean, in order."""
    if "/" in command:
        return [command]
    return [os.path.join(directory or ".", command) for directory in path.split(":")]


def _first_of(candidates: Sequence[str], execute: Callable[[str], int]) -> int:
    """Execute the first candidate that can be; raise what stood in the way of the most promising one."""
    reason = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for file in candidates:
        try:
            return execute(file)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            reason = error
    raise reason


def explain(error: LaunchError, plan: Launch) -> StartFailed | InvalidArgument | QuotaExceeded:
    """Return the error that users see when *plan* could not be carried out."""
    number, why = error.errno or 0, error.strerror or "unknown error"
    if number == errno.E2BIG:
        return InvalidArgument("args", "the arguments and the environment are longer than the system allows")
    match error.stage:
        case Stage.EXEC:
            return _explain_exec(plan.command, number, why)
        case Stage.DIRECTORY:
            wanted = "that the job's user may enter" if number == errno.EACCES else "that exists"
            return StartFailed(f"working directory {plan.directory}: {why}; give one {wanted} with -C", number)
        case Stage.USER:
            who = plan.run_as.user if plan.run_as else "?"
            return StartFailed(f"user {who}: {why}; the server may not run jobs as this user", number)
    if number in _WANT_OF_ROOM:
        return QuotaExceeded(f"the server cannot start another process now ({why}); try again later")
    return StartFailed(f"{plan.command}: could not be prepared ({error.stage.name.lower()}): {why}", number)


def _explain_exec(command: str, number: int, why: str) -> StartFailed:
    if number == errno.ENOENT:
        return CommandNotFound(f"{command}: command not found ({why}); is it installed on the server?", number)
    if number == errno.ENOEXEC:
        return CommandNotExecutable(f"{command}: {why}; a script needs a first line like #!/bin/sh", number)
    return CommandNotExecutable(f"{command}: cannot be executed: {why}", number)
