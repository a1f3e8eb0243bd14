from __future__ import annotations

import array
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from gproc_support.processes import living, named, open_descriptors, process_state
from gproc_support.supervision import output_of, shell, shim_pid, supervised, until_output
from gproc_support.waiting import eventually

from gproc.model import JobState
from gproc.worker import Supervisor
from gproc.worker.tree import children


@pytest.mark.parametrize("code", [0, 1, 143, 255])
async def test_c1_a_job_that_exits_has_a_code_and_no_signal(supervisor: Supervisor, code: int) -> None:
    status = await supervisor.wait(await shell(supervisor, f"exit {code}"))
    assert (status.state, status.exit_code, status.signal) == (JobState.EXITED, code, "")
    assert (status.reason, status.shell_code) == (f"exited with code {code}", code)


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "HUP"])
async def test_c1_a_job_that_a_signal_ended_has_a_signal_and_no_code(supervisor: Supervisor, name: str) -> None:
    status = await supervisor.wait(await shell(supervisor, f"kill -{name} $$"))
    assert (status.state, status.exit_code, status.signal) == (JobState.SIGNALED, None, f"SIG{name}")
    assert status.reason.startswith(f"killed by SIG{name}")
    assert status.shell_code == 128 + signal.Signals[f"SIG{name}"]


async def test_c1_a_program_that_has_its_parent_trace_it_is_not_taken_for_ended_when_it_stops(
    supervisor: Supervisor,
) -> None:
    code = "import ctypes, os; ctypes.CDLL(None).ptrace(0, 0, 0, 0); os.write(1, b'ready'); os.kill(os.getpid(), 10)"
    job_id = await supervisor.start("python3", ["-c", code])
    await until_output(supervisor, job_id)
    await eventually(lambda: process_state(supervisor.status(job_id).pid or 0) == "t")
    await asyncio.sleep(0.1)
    assert supervisor.status(job_id).state is JobState.RUNNING
    status = await supervisor.stop(job_id, grace=timedelta(0))
    assert (status.state, status.signal) == (JobState.STOPPED, "SIGKILL")


async def test_c1_a_final_status_has_its_times_and_what_was_used(supervisor: Supervisor) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo out; echo err >&2"
    status = await supervisor.wait(await shell(supervisor, script, name="n", labels={"a": "b"}))
    assert status.created_at is not None
    assert status.started_at is not None
    assert status.ended_at is not None
    assert status.created_at <= status.started_at <= status.ended_at
    assert status.usage is not None
    assert status.usage.cpu_seconds > 0
    assert status.usage.max_rss_bytes > 100_000
    assert (status.output_bytes, status.dropped_bytes) == (8, 0)
    assert (status.name, status.labels, status.command) == ("n", {"a": "b"}, "sh")


async def test_c2_a_job_whose_shim_was_killed_is_lost_within_two_seconds_and_nothing_of_it_is_left(
    supervisor: Supervisor, state_dir: Path, mark: str
) -> None:
    script = "trap '' TERM; setsid sleep 1000 & (setsid sh -c 'sleep 1000 & exit' &)\necho ready; sleep 1000"
    job_id = await shell(supervisor, script, env={"M": mark})
    await until_output(supervisor, job_id)
    await eventually(lambda: len(living(mark)) >= 4)
    begun = time.monotonic()
    os.kill(shim_pid(state_dir, job_id), signal.SIGKILL)
    status = await asyncio.wait_for(supervisor.wait(job_id), 5)
    assert time.monotonic() - begun < 2
    assert (status.state, status.exit_code, status.signal, status.shell_code) == (JobState.LOST, None, "", 125)
    assert status.reason == "its shim ended unexpectedly"
    await eventually(lambda: not living(mark), within=2)
    assert await output_of(supervisor, job_id) == b"ready\n"


async def test_c3_a_child_that_keeps_the_output_open_does_not_keep_the_job(supervisor: Supervisor, mark: str) -> None:
    begun = time.monotonic()
    job_id = await shell(supervisor, "sleep 1000 & echo bye; exit 7", env={"M": mark})
    assert await output_of(supervisor, job_id) == b"bye\n"
    status = supervisor.status(job_id)
    assert (status.state, status.exit_code) == (JobState.EXITED, 7)
    assert time.monotonic() - begun < 5
    assert not living(mark)


async def test_c3_a_stranger_who_holds_the_output_open_is_told_of_and_not_waited_for(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    path = str(tmp_path / "s")
    script = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "socket.send_fds(s, [b'x'], [1]); s.recv(1); os.write(1, b'last words')"
    )
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        job_id = await supervisor.start(sys.executable, ["-c", script, path])
        connection, _ = await asyncio.wait_for(loop.sock_accept(listener), 10)
    with connection:
        held = _receive_descriptor(connection)
        try:
            await loop.sock_sendall(connection, b"x")
            status = await asyncio.wait_for(supervisor.wait(job_id), 5)
        finally:
            os.close(held)
    assert (status.state, status.exit_code) == (JobState.EXITED, 0)
    assert "held open by a process that it did not start" in status.reason
    assert await output_of(supervisor, job_id) == b"last words"


def _receive_descriptor(connection: socket.socket) -> int:
    connection.setblocking(True)
    connection.settimeout(10)
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(4), socket.MSG_CMSG_CLOEXEC)
    connection.setblocking(False)
    fds = array.array("i")
    fds.frombytes(ancillary[0][2])
    return fds[0]


async def test_c4_after_60_jobs_descriptors_children_and_zombies_are_as_before(supervisor: Supervisor) -> None:
    async def one() -> None:
        job_id = await shell(supervisor, "echo x; sleep 0 & exit 1")
        assert await output_of(supervisor, job_id) == b"x\n"

    await asyncio.gather(*(one() for _ in range(10)))
    (spawner,) = named("gproc-spawner")
    before = open_descriptors(), open_descriptors(spawner), len(list(children(os.getpid())))
    await asyncio.gather(*(one() for _ in range(60)))

    def settled() -> bool:
        zombies = [pid for pid in children(spawner) if process_state(pid) == "Z"]
        now = open_descriptors(), open_descriptors(spawner), len(list(children(os.getpid())))
        return not zombies and now <= before and len(named("gproc-shim")) <= 1

    await eventually(settled)


@pytest.fixture
def greedy_reaper() -> Iterator[None]:
    """Have this process reap every child that ends, whoever's it is, as some libraries do."""

    def reap(_number: int, _frame: object) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return

    before = signal.signal(signal.SIGCHLD, reap)
    yield
    signal.signal(signal.SIGCHLD, before)


async def test_c5_a_library_that_reaps_every_child_does_not_change_a_jobs_code(
    greedy_reaper: None, state_dir: Path
) -> None:
    async with supervised(state_dir) as supervisor:
        assert (await supervisor.wait(await shell(supervisor, "exit 42"))).exit_code == 42


async def test_c5_children_that_are_ignored_do_not_change_a_jobs_code(state_dir: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        async with supervised(state_dir) as supervisor:
            status = await supervisor.wait(await shell(supervisor, "sh -c 'exit 42'; exit $?"))
            assert status.exit_code == 42
    finally:
        signal.signal(signal.SIGCHLD, before)


def score(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


@pytest.fixture
def may_be_lowered() -> bool:
    """Whether the kernel lets a process of ours be a less likely victim of want of memory."""
    lowered = subprocess.run(["sh", "-c", "echo -900 > /proc/self/oom_score_adj"], check=False, capture_output=True)
    return lowered.returncode == 0


async def test_c6_a_shim_is_a_less_likely_victim_than_its_job(
    supervisor: Supervisor, state_dir: Path, may_be_lowered: bool
) -> None:
    job_id = await supervisor.start("sleep", ["1000"])

    own = score(os.getpid())
    assert score(supervisor.status(job_id).pid) == own
    assert score(shim_pid(state_dir, job_id)) == (-900 if may_be_lowered else own)
