from __future__ import annotations

import errno

import pytest

from gproc.errors import CommandNotExecutable, CommandNotFound, GprocError, InvalidArgument, QuotaExceeded, StartFailed
from gproc.model.spec import RunAs
from gproc.worker.launch import Launch, LaunchError, Stage, clean_environment, explain

PLAN = Launch(
    command="prog",
    args=(),
    env={},
    directory="/nowhere",
    stdin=0,
    stdout=1,
    stderr=2,
    run_as=RunAs(user="joe", uid=1, gid=1, groups=(), home="/"),
)


@pytest.mark.parametrize(
    ("stage", "number", "kind", "words"),
    [
        (Stage.EXEC, errno.ENOENT, CommandNotFound, "prog: command not found"),
        (Stage.EXEC, errno.EACCES, CommandNotExecutable, "prog: cannot be executed: Permission denied"),
        (Stage.EXEC, errno.ENOEXEC, CommandNotExecutable, "a script needs a first line like #!/bin/sh"),
        (Stage.EXEC, errno.E2BIG, InvalidArgument, "args: "),
        (Stage.DIRECTORY, errno.ENOENT, StartFailed, "working directory /nowhere: No such file or directory"),
        (Stage.USER, errno.EPERM, StartFailed, "user joe: Operation not permitted"),
        (Stage.FORK, errno.EAGAIN, QuotaExceeded, "try again later"),
        (Stage.PREPARE, errno.EMFILE, QuotaExceeded, "try again later"),
        (Stage.LIMITS, errno.EINVAL, StartFailed, "could not be prepared (limits)"),
    ],
)
def test_a1_each_failure_says_which_thing_and_why(
    stage: Stage, number: int, kind: type[GprocError], words: str
) -> None:
    error = explain(LaunchError(stage, number), PLAN)
    assert type(error) is kind
    assert words in str(error)
    if isinstance(error, StartFailed):
        assert error.errno == number


def test_a7_the_environment_is_small_and_what_was_asked_for() -> None:
    assert clean_environment("/home/joe", {"A": "1"}) == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/home/joe",
        "LANG": "C.UTF-8",
        "A": "1",
    }
    assert clean_environment("/home/joe", {"HOME": "/", "PATH": ""})["PATH"] == ""
