from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from gproc.store.directory import opened
from gproc.store.records import read_record
from gproc.worker.holder import holder_of_lock, leave_stop, signal_holder, stop_unreachable
from gproc.worker.protocol import STOP_RECORD

ASKED = {"signal": "SIGINT", "grace": 1.5, "by": "alice"}

HOLD = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print()
time.sleep(60)
"""

CHURN = """
import fcntl, os, sys
fds = [os.open(f"{sys.argv[1]}/other-{number}", os.O_RDWR | os.O_CREAT) for number in range(300)]
print()
while True:
    for operation in (fcntl.LOCK_EX, fcntl.LOCK_UN):
        for fd in fds:
            fcntl.flock(fd, operation)
"""


@contextmanager
def held(path: Path) -> Iterator[Popen[bytes]]:
    """Have another process hold the lock of *path*."""
    path.touch()
    with Popen([sys.executable, "-u", "-c", HOLD, str(path)], stdout=PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_the_holder_of_a_lock_is_named_and_signalled(tmp_path: Path) -> None:
    with held(tmp_path / "spec.json") as process:
        assert holder_of_lock(tmp_path / "spec.json") == process.pid
        assert signal_holder(tmp_path / "spec.json", signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
        assert not signal_holder(tmp_path / "spec.json", signal.SIGTERM)


def test_b7_who_has_a_file_open_without_its_lock_is_not_signalled(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        assert holder_of_lock(path) is None
        assert not signal_holder(path, signal.SIGKILL)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert holder_of_lock(path) == os.getpid()
    finally:
        os.close(fd)


def test_the_holder_is_found_while_hundreds_of_others_take_locks_and_let_them_go(tmp_path: Path) -> None:
    with (
        held(tmp_path / "spec.json") as process,
        Popen([sys.executable, "-u", "-c", CHURN, str(tmp_path)], stdout=PIPE) as other,
    ):
        assert other.stdout is not None
        try:
            other.stdout.readline()
            assert {holder_of_lock(tmp_path / "spec.json") for _ in range(300)} == {process.pid}
        finally:
            other.kill()


def test_a_server_that_holds_the_lock_to_declare_the_job_lost_does_not_signal_itself(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert not signal_holder(path, signal.SIGCONT)
    finally:
        os.close(fd)


def test_a_file_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert holder_of_lock(tmp_path / "gone") is None


def test_a_shim_that_listens_is_not_signalled_even_if_it_does_not_answer(tmp_path: Path) -> None:
    with held(tmp_path / "spec.json") as process, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "shim.sock"))
        assert not stop_unreachable(tmp_path, ASKED)
        assert process.poll() is None
        assert not (tmp_path / STOP_RECORD).exists()
        (tmp_path / "shim.sock").unlink()
        assert stop_unreachable(tmp_path, ASKED)
        assert process.wait(10) == -signal.SIGTERM
    with opened(tmp_path) as fd:
        assert read_record(STOP_RECORD, dir_fd=fd) == ASKED


def test_word_that_is_left_to_a_frozen_shim_waits_for_it(tmp_path: Path) -> None:
    with held(tmp_path / "spec.json") as process:
        process.send_signal(signal.SIGSTOP)
        assert leave_stop(tmp_path, ASKED)
        assert process.poll() is None
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == -signal.SIGTERM
    with opened(tmp_path) as fd:
        assert read_record(STOP_RECORD, dir_fd=fd) == ASKED


def test_of_two_who_leave_word_at_the_same_time_one_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gproc.worker.holder.holder_of_lock", lambda _: 1)
    monkeypatch.setattr("gproc.worker.holder.signal_holder", lambda *_: True)
    words = [{**ASKED, "by": by} for by in ("alice", "somebody with a longer name")]
    with opened(tmp_path) as fd, ThreadPoolExecutor(2) as both:
        for _ in range(300):
            assert all(both.map(partial(leave_stop, tmp_path), words))
            assert read_record(STOP_RECORD, dir_fd=fd) in words
    assert not caplog.records


def test_nothing_is_asked_where_there_is_no_shim(tmp_path: Path) -> None:
    (tmp_path / "spec.json").touch()
    assert not stop_unreachable(tmp_path, ASKED)
    assert not leave_stop(tmp_path, ASKED)
    assert not (tmp_path / STOP_RECORD).exists()


def test_a_stop_that_cannot_be_written_down_is_told_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / STOP_RECORD).mkdir()
    with held(tmp_path / "spec.json") as process:
        assert stop_unreachable(tmp_path, ASKED)
        assert process.wait(10) == -signal.SIGTERM
    (record,) = caplog.records
    assert record.getMessage() == "stop not passed on"
    assert "that the job was started with are used" in vars(record)["reason"]
