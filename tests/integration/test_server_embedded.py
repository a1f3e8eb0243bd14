from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from types import FrameType

import pytest

from gproc.errors import Unavailable
from gproc.model import Chunk
from gproc.testing import Authority, embedded, embedded_server, threaded, threaded_server

PROC = Path("/proc")


def living(needle: str) -> list[str]:
    """Return the command lines of living processes that were told *needle* in their arguments or environment."""
    found = []
    for process in PROC.iterdir():
        try:
            if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            if needle.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return found


def descriptors() -> set[str]:
    found = set()
    for each in (PROC / "self/fd").iterdir():
        try:
            found.add(f"{each.name} {each.readlink()}")
        except OSError:
            continue
    return found


async def test_nothing_is_left_behind_of_server_jobs_and_files() -> None:
    async with embedded_server() as server:
        await server.client("alice").connect()  # what is imported, or opened once for a loop, is there now
    before, threads = descriptors(), set(threading.enumerate())
    async with embedded_server() as server:
        alice = server.client("alice")
        mark = f"MARK{os.getpid()}X"
        for script in ("sleep 1000", "trap '' TERM HUP; sleep 1000", "setsid sleep 1000 & sleep 1000"):
            job = await alice.start("sh", ["-c", f"echo ready; {script}"], env={"GPROC_TEST_MARK": mark})
            assert isinstance(await anext(aiter(job.output())), Chunk)
        parent = server.state_dir.parent
        assert len(living(mark)) >= 3

    assert living(mark) == []
    assert not parent.exists()
    assert descriptors() <= before
    assert [thread for thread in threading.enumerate() if thread not in threads and "asyncio" not in thread.name] == []
    with pytest.raises(Unavailable):
        async with asyncio.timeout(10):
            await alice.connect()


async def test_files_are_kept_in_a_directory_that_was_given(tmp_path: Path) -> None:
    async with embedded_server(directory=tmp_path) as server:
        job = await server.client("alice").start("true")
        await job.wait()
        assert server.state_dir.is_relative_to(tmp_path)
    assert (tmp_path / "state" / "jobs" / job.id / "output").exists()


async def test_certificate_files_are_private_and_made_once() -> None:
    async with embedded_server() as server:
        files = server.files("alice")
        assert server.files("alice") == files
        assert files.key.stat().st_mode & 0o777 == 0o600


async def test_a_failing_test_fails_as_it_is_and_still_cleans_up() -> None:
    used: list[Path] = []

    async def failing_test() -> None:
        async with embedded_server() as server:
            used.append(server.state_dir)
            await server.client("alice").start("sleep", ["1000"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing_test()
    assert [directory.exists() for directory in used] == [False]


def test_a_server_in_a_thread_serves_code_without_a_loop() -> None:
    with threaded_server() as server:
        client = server.blocking_client("alice")
        job = client.start("sh", ["-c", "echo hello"])
        assert b"".join(bytes(piece.data) for piece in job.output() if isinstance(piece, Chunk)) == b"hello\n"
    assert not server.state_dir.exists()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("gproc")] == []


def test_a_server_that_cannot_start_says_so_in_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), threaded_server(directory=tmp_path / "gone"):
        pass


def test_who_interrupts_the_beginning_of_a_threaded_server_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupted = threading.Event()

    class SlowAuthority(Authority):
        def __init__(self, directory: Path) -> None:
            interrupted.wait()
            super().__init__(directory)

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "Authority", SlowAuthority)
    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt), threaded_server():
            pass
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert not [thread for thread in threading.enumerate() if thread.name == "gproc server"]


def test_a_second_interrupt_leaves_nothing_of_a_threaded_server() -> None:
    def interrupt_the_waiting(_number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename in {threading.__file__, threaded.__file__}:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    used: list[Path] = []

    def interrupted_test() -> None:
        with threaded_server() as server:
            used.append(server.state_dir)
            with server.blocking_client("alice") as client:
                client.start("sleep", ["1000"])
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.005)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt_the_waiting)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_test()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [directory.exists() for directory in used] == [False]


def test_a_threaded_server_ends_though_a_client_of_it_cannot_be_closed() -> None:
    def cannot_be_closed() -> None:
        raise RuntimeError("stuck")

    with pytest.raises(RuntimeError, match="stuck"), threaded_server() as server:
        server._closers.append(cannot_be_closed)
    assert not [thread for thread in threading.enumerate() if thread.name == "gproc server"]
