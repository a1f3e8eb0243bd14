from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from gproc_support.processes import is_living
from gproc_support.waiting import soon

GPROC = [sys.executable, "-m", "gproc"]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def demo(home: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "TMPDIR": str(home), "TERM": "dumb"}
    process = subprocess.Popen(
        [*GPROC, "demo", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_demo_that_is_told_to_end_takes_its_job_and_its_keys_with_it(tmp_path: Path, signum: signal.Signals) -> None:
    with demo(tmp_path, "sh", "-c", "echo $$; exec sleep 100") as process:
        assert process.stdout is not None
        job = int(process.stdout.readline())
        for _ in range(3):  # impatience changes nothing
            process.send_signal(signum)
        assert process.wait(20) == 128 + signum
    assert list(tmp_path.iterdir()) == []
    assert not is_living(job)


def directory_is_there(home: Path) -> bool:
    return any(home.iterdir())


def authority_is_there(home: Path) -> bool:
    return any(home.glob("*/ca.crt"))


def server_is_there(home: Path) -> bool:
    return any(home.glob("*/state"))


@pytest.mark.parametrize("moment", [directory_is_there, authority_is_there, server_is_there])
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_demo_can_be_ended_while_it_is_still_beginning(
    tmp_path: Path, signum: signal.Signals, moment: Callable[[Path], bool]
) -> None:
    with demo(tmp_path, "sleep", "100") as process:
        soon(lambda: moment(tmp_path))
        process.send_signal(signum)
        assert process.wait(20) == 128 + signum
    assert list(tmp_path.iterdir()) == []


def test_the_show_is_plain_where_nobody_sees_colours(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.startswith(b"hello: this is a real process")
    assert output.endswith(b"mutual TLS\n")
    assert b"\x1b" not in output
    assert b"\r" not in output
