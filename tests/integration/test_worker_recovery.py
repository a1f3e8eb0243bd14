from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gproc_support.processes import is_living, living, named, working_in
from gproc_support.supervision import (
    NO_RESERVE,
    keeper,
    output_of,
    shell,
    shim_pid,
    supervised,
    until_output,
)
from gproc_support.waiting import eventually, soon

from gproc.errors import JobNotFound, StateError
from gproc.model import JobRequest, JobState, JobStatus, StopPolicy
from gproc.model.document import spec_to_document, status_to_document
from gproc.model.spec import JobSpec
from gproc.store.directory import opened
from gproc.store.records import encode, read_record, write_record
from gproc.worker import Supervisor
from gproc.worker.kernel import boot_id
from gproc.worker.tree import start_ticks

COUNTER = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; echo end; read line < '{gate}'; exit 5"
COUNTED = b"".join(b"%d\n" % number for number in range(1, 3001)) + b"end\n"
TERM_IGNORED = "trap '' TERM; echo ready; while :; do sleep 1000; done"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A named pipe: a job that reads from it goes on when a line is written to it."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process of somebody else, leader of its own session."""
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    soon(lambda: os.getpgid(process.pid) == process.pid)
    yield process.pid
    process.kill()
    process.wait()


def pretend(state_dir: Path, pid: int, *, boot: str, ticks: int | None) -> str:
    """Write the records of a job that was running as process *pid*; return its id."""
    job_id = "0" * 36
    now = datetime.now(UTC)
    spec = JobSpec(id=job_id, owner="alice", request=JobRequest(command="sleep"), created_at=now, nonce="n")
    status = JobStatus(id=job_id, owner="alice", state=JobState.RUNNING, command="sleep", pid=pid, created_at=now)
    directory = state_dir / "jobs" / job_id
    directory.mkdir(mode=0o700, parents=True)
    state_dir.chmod(0o700)
    with opened(directory) as fd:
        write_record("spec.json", spec_to_document(spec), dir_fd=fd)
        shim = {"boot_id": boot, "pid": pid, "start_ticks": ticks}
        write_record("status.json", status_to_document(status) | {"shim": shim}, dir_fd=fd)
    for name in ("output", "index"):
        (directory / name).touch()
    return job_id


async def test_e1_a_killed_supervisor_costs_a_job_nothing(state_dir: Path, tmp_path: Path, gate: Path) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sh", "-c", COUNTER.format(gate=gate)], owner="alice")
        await victim.kill()
    begun = time.monotonic()
    async with supervised(state_dir) as supervisor:
        assert time.monotonic() - begun < 2
        found = supervisor.status(started.id, owner="alice")
        assert (found.state, found.pid, found.started_at) == (JobState.RUNNING, started.pid, started.started_at)
        assert await until_output(supervisor, started.id, b"end\n") == COUNTED
        await asyncio.to_thread(gate.write_text, "go\n")
        status = await asyncio.wait_for(supervisor.wait(started.id), 5)
        assert (status.state, status.exit_code, status.dropped_bytes) == (JobState.EXITED, 5, 0)
        assert await output_of(supervisor, started.id) == COUNTED


async def test_e1_a_job_that_ended_while_there_was_no_supervisor_is_found_with_its_code(
    state_dir: Path, gate: Path
) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sh", "-c", COUNTER.format(gate=gate)])
        await victim.kill()
    await asyncio.to_thread(gate.write_text, "go\n")
    await eventually(lambda: not working_in(state_dir))
    async with supervised(state_dir) as supervisor:
        status = supervisor.status(started.id)
        assert (status.state, status.exit_code, status.output_bytes) == (JobState.EXITED, 5, len(COUNTED))
        assert await output_of(supervisor, started.id) == COUNTED


async def test_e1_a_reader_sees_all_of_a_job_that_is_found_again_while_it_writes(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); echo $i; done"
        started = await victim.ask(start=["sh", "-c", script])
        await victim.kill()
    async with supervised(state_dir) as supervisor:
        assert await output_of(supervisor, started.id) == b"".join(b"%d\n" % n for n in range(1, 200_001))


async def test_e1_forty_jobs_are_found_again_at_once(state_dir: Path) -> None:
    async with supervised(state_dir) as supervisor:
        jobs = await asyncio.gather(*(supervisor.start("sleep", ["1000"]) for _ in range(40)))
        pids = {job.pid for job in supervisor.list().jobs}
        await supervisor._close()
        begun = time.monotonic()
        async with supervised(state_dir) as successor:
            assert time.monotonic() - begun < 3
            found = successor.list().jobs
            assert [job.state for job in found] == [JobState.RUNNING] * 40
            assert {job.pid for job in found} == pids
            await asyncio.gather(*(successor.stop(job_id, grace=timedelta(0)) for job_id in jobs))
            assert {job.state for job in successor.list().jobs} == {JobState.STOPPED}
        supervisor._registry = type(supervisor._registry)()  # what it knows is not true any more


async def test_e2_a_stop_goes_on_when_the_supervisor_is_killed_in_its_grace(state_dir: Path, mark: str) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sh", "-c", TERM_IGNORED], env={"M": mark}, owner="alice")
        await eventually((state_dir / "jobs" / started.id / "output").read_bytes)
        stopping = await victim.ask(stop=started.id, grace=0.7)
        begun = time.monotonic()
        assert stopping.state is JobState.STOPPING
        await victim.kill()
    async with supervised(state_dir) as supervisor:
        status = await asyncio.wait_for(supervisor.wait(started.id), 5)
        assert time.monotonic() - begun < 1.7
        assert (status.state, status.signal) == (JobState.STOPPED, "SIGKILL")
        assert not living(mark)


async def test_e3_a_supervisor_whose_stderr_is_gone_serves_on(state_dir: Path) -> None:
    reader, writer = os.pipe()
    saved = os.dup(2)
    os.dup2(writer, 2)
    os.close(writer)
    os.close(reader)  # from here on, whoever writes to stderr gets EPIPE
    try:
        async with supervised(state_dir) as supervisor:
            job_id = await shell(supervisor, "echo out; echo err >&2")
            assert await output_of(supervisor, job_id) == b"out\nerr\n"
    finally:
        os.dup2(saved, 2)
        os.close(saved)


async def test_e4_a_job_whose_shim_was_killed_after_its_supervisor_is_lost_and_nothing_of_it_is_left(
    state_dir: Path, mark: str
) -> None:
    async with keeper(state_dir) as victim:
        script = "trap '' TERM; sleep 1000 & (setsid sh -c 'sleep 1000 & exit' &)\nwait"
        started = await victim.ask(start=["sh", "-c", script], env={"M": mark})
        await eventually(lambda: len(living(mark)) >= 3)
        await victim.kill()
    os.kill(shim_pid(state_dir, started.id), signal.SIGKILL)
    begun = time.monotonic()
    async with supervised(state_dir) as supervisor:
        status = await asyncio.wait_for(supervisor.wait(started.id), 5)
        assert time.monotonic() - begun < 2
        assert (status.state, status.exit_code) == (JobState.LOST, None)
        await eventually(lambda: not living(mark), within=2)
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(started.id) == status


async def test_e4_without_shim_and_spawner_what_forgot_whose_it_is_is_found_below_its_job(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        job_id = (await victim.ask(start=["sh", "-c", "env -i setsid sleep 1000 & echo $!; wait"])).id
        output = state_dir / "jobs" / job_id / "output"
        stray = int(await eventually(output.read_text))
        await eventually(lambda: os.getsid(stray) == stray)
        for pid in named("gproc-spawner"):
            os.kill(pid, signal.SIGKILL)
        await victim.kill()
    os.kill(shim_pid(state_dir, job_id), signal.SIGKILL)
    async with supervised(state_dir) as supervisor:
        assert (await asyncio.wait_for(supervisor.wait(job_id), 5)).state is JobState.LOST
        await eventually(lambda: not is_living(stray), within=2)


@pytest.mark.parametrize("records", ["all", "all but the status"])
async def test_a_supervisor_of_a_copy_of_the_state_directory_leaves_jobs_to_the_original(
    state_dir: Path, records: str
) -> None:
    copy = state_dir.with_name("copy")
    async with keeper(state_dir) as original:
        job_id = (await original.ask(start=["sleep", "1000"])).id
        left_out = ["shim.sock", *(["status.json"] if records != "all" else [])]
        shutil.copytree(state_dir, copy, ignore=shutil.ignore_patterns(*left_out))
        async with supervised(copy) as supervisor:
            in_the_copy = await asyncio.wait_for(supervisor.wait(job_id), 5)
            assert in_the_copy.state is JobState.LOST
        assert (await original.ask(status=job_id)).state is JobState.RUNNING
        await original.ask(stop=job_id, grace=5)


async def test_e4_after_its_spawner_was_killed_a_supervisor_starts_jobs_and_old_ones_go_on(
    supervisor: Supervisor,
) -> None:
    old = await shell(supervisor, "echo ready; exec sleep 1000")
    await eventually(lambda: len(named("gproc-spawner")) == 1)  # a shim that was just forked has that name for a moment
    (spawner,) = named("gproc-spawner")
    os.kill(spawner, signal.SIGKILL)
    await eventually(lambda: not is_living(spawner))
    assert await output_of(supervisor, await shell(supervisor, "echo x")) == b"x\n"
    assert supervisor.status(old).state is JobState.RUNNING
    assert (await supervisor.stop(old)).state is JobState.STOPPED


async def test_e5_one_mute_shim_costs_the_start_five_seconds_at_most_and_others_are_served(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        mute = await victim.ask(start=["sleep", "1000"])
        other = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    shim = shim_pid(state_dir, mute.id)
    os.kill(shim, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        async with Supervisor(state_dir, NO_RESERVE) as supervisor:
            assert time.monotonic() - begun < 5.5
            assert supervisor.status(mute.id).state is JobState.RUNNING
            assert (await supervisor.stop(other.id)).state is JobState.STOPPED
            await eventually(lambda: "does not answer" in supervisor.status(mute.id).reason)
            unheard = await asyncio.wait_for(supervisor.stop(mute.id), 5)
            assert (unheard.state, unheard.reason) == (JobState.RUNNING, "its shim does not answer")
            os.kill(shim, signal.SIGCONT)
            assert (await asyncio.wait_for(supervisor.wait(mute.id), 8)).state is JobState.STOPPED
    finally:
        os.kill(shim, signal.SIGCONT) if is_living(shim) else None


async def test_e5_a_mute_shim_that_nobody_stopped_is_heard_again_when_it_goes_on(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        mute = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    shim = shim_pid(state_dir, mute.id)
    os.kill(shim, signal.SIGSTOP)
    try:
        async with supervised(state_dir) as supervisor:
            await eventually(lambda: "does not answer" in supervisor.status(mute.id).reason)
            os.kill(shim, signal.SIGCONT)
            await eventually(lambda: supervisor.status(mute.id).reason == "", within=8)
    finally:
        os.kill(shim, signal.SIGCONT) if is_living(shim) else None


async def test_e9_a_stop_that_a_frozen_shim_did_not_hear_happens_when_it_goes_on_without_the_server_that_was_asked(
    state_dir: Path, mark: str
) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sleep", "1000"], env={"M": mark})
        await victim.kill()
    shim = shim_pid(state_dir, started.id)
    os.kill(shim, signal.SIGSTOP)
    try:
        async with Supervisor(state_dir, NO_RESERVE) as supervisor:
            unheard = await supervisor.stop(started.id, owner=started.owner, signal=signal.SIGINT)
            assert unheard.state is JobState.RUNNING
    finally:
        os.kill(shim, signal.SIGCONT)
    await eventually(lambda: living(mark) == [])
    async with supervised(state_dir) as supervisor:
        status = supervisor.status(started.id)
    assert (status.state, status.signal) == (JobState.STOPPED, "SIGINT")
    assert status.reason == f"stopped by {started.owner}"


DAMAGE = {
    "empty": b"",
    "torn": encode({"id": "x"})[:20],
    "another record": encode({"id": "x"}),
    "a list": encode([]),  # type: ignore[arg-type]  # what is tested
    "not text": b"\xff" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_e6_a_job_whose_records_are_damaged_is_set_aside_and_logged_once_and_others_are_served(
    state_dir: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(state_dir) as supervisor:
        bad, good = [await shell(supervisor, "echo x") for _ in range(2)]
        await asyncio.gather(supervisor.wait(bad), supervisor.wait(good))
    for name in ("spec.json", "status.json"):
        (state_dir / "jobs" / bad / name).write_bytes(DAMAGE[damage])
    with caplog.at_level(logging.ERROR, "gproc.worker"):
        async with supervised(state_dir) as supervisor:
            with pytest.raises(JobNotFound):
                supervisor.status(bad)
            assert await output_of(supervisor, good) == b"x\n"
            assert (await supervisor.wait(await supervisor.start("true"))).exit_code == 0
        async with supervised(state_dir):
            pass
    assert [record.getMessage() for record in caplog.records] == ["job set aside"]
    assert (state_dir / "set-aside" / bad / "output").read_bytes() == b"x\n"


@pytest.mark.parametrize("damage", DAMAGE)
async def test_e6_a_finished_job_whose_first_record_is_damaged_is_served_from_its_last(
    state_dir: Path, damage: str
) -> None:
    async with supervised(state_dir) as supervisor:
        finished = await supervisor.wait(await shell(supervisor, "echo x; exit 3"))
    (state_dir / "jobs" / finished.id / "spec.json").write_bytes(DAMAGE[damage])
    for _ in range(2):
        async with supervised(state_dir) as supervisor:
            assert supervisor.status(finished.id) == finished
            assert await output_of(supervisor, finished.id) == b"x\n"


async def test_e6_a_running_job_whose_first_record_is_damaged_is_found_and_stopped(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    with (state_dir / "jobs" / started.id / "spec.json").open("r+b") as file:
        file.write(b"damaged")
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(started.id).pid == started.pid
        assert (await supervisor.stop(started.id)).state is JobState.STOPPED


@pytest.mark.parametrize("damage", DAMAGE)
async def test_e6_a_job_whose_status_is_damaged_is_lost_with_its_output_and_never_run_again(
    state_dir: Path, tmp_path: Path, damage: str
) -> None:
    async with supervised(state_dir) as supervisor:
        job_id = await shell(supervisor, f"echo x | tee -a '{tmp_path}/runs'")
        await supervisor.wait(job_id)
    (state_dir / "jobs" / job_id / "status.json").write_bytes(DAMAGE[damage])
    for _ in range(2):
        async with supervised(state_dir) as supervisor:
            status = supervisor.status(job_id)
            assert (status.state, status.exit_code, status.output_bytes) == (JobState.LOST, None, 2)
            assert await output_of(supervisor, job_id) == b"x\n"
    assert (tmp_path / "runs").read_text() == "x\n"


async def test_e6_a_running_job_whose_status_is_damaged_is_found_by_its_shim(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    (state_dir / "jobs" / started.id / "status.json").write_bytes(b"damaged")
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(started.id).pid == started.pid
        assert supervisor.status(started.id).state is JobState.RUNNING


async def test_e6_a_running_job_that_a_failing_disk_hides_is_found_at_the_next_start(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Supervisor(state_dir, NO_RESERVE) as supervisor:
        job_id = await shell(supervisor, "echo ready; exec sleep 1000")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("gproc.worker.recovery.read_record", fail)
        async with Supervisor(state_dir, NO_RESERVE) as supervisor:
            assert supervisor.list().jobs == ()
    assert [record.getMessage() for record in caplog.records] == ["job left out"]
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(job_id).state is JobState.RUNNING
        assert (await supervisor.stop(job_id)).state is JobState.STOPPED


async def test_e6_a_running_job_of_a_newer_version_is_left_for_that_version(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Supervisor(state_dir, NO_RESERVE) as supervisor:
        job_id = await shell(supervisor, "exec sleep 1000")
    with (state_dir / "jobs" / job_id / "spec.json").open("r+b", buffering=0) as file:
        file.write(b'{"gproc":2')
        async with Supervisor(state_dir, NO_RESERVE) as supervisor:
            assert supervisor.list().jobs == ()
        assert [record.getMessage() for record in caplog.records] == ["job left out"]
        file.seek(0)
        file.write(b'{"gproc":1')  # what we can read is read again by a version that can
    async with supervised(state_dir) as supervisor:
        assert (await supervisor.stop(job_id)).state is JobState.STOPPED


async def test_e6_strange_things_among_the_jobs_are_no_jobs(state_dir: Path) -> None:
    async with supervised(state_dir):
        pass
    (state_dir / "jobs" / "file").touch()
    (state_dir / "jobs" / "lost+found").mkdir()
    (state_dir / "jobs" / "link").symlink_to("/")
    async with supervised(state_dir) as supervisor:
        assert supervisor.list().jobs == ()


async def test_e6_named_pipes_in_the_place_of_records_hold_up_nobody(state_dir: Path) -> None:
    async with supervised(state_dir) as supervisor:
        job_ids = [await supervisor.start("true") for _ in range(2)]
        for job_id in job_ids:
            await supervisor.wait(job_id)
    for job_id, name in zip(job_ids, ("spec.json", "status.json"), strict=True):
        (state_dir / "jobs" / job_id / name).unlink()
        os.mkfifo(state_dir / "jobs" / job_id / name)
    async with asyncio.timeout(5), supervised(state_dir) as supervisor:
        states = [supervisor.status(job_id).state for job_id in job_ids]
    assert states == [JobState.EXITED, JobState.LOST]


async def test_e7_after_a_reboot_running_jobs_are_lost_and_nobody_is_signalled(state_dir: Path, stranger: int) -> None:
    job_id = pretend(state_dir, stranger, boot="another boot", ticks=start_ticks(stranger))
    async with supervised(state_dir) as supervisor:
        status = supervisor.status(job_id)
    assert (status.state, status.reason) == (JobState.LOST, "the machine was restarted")
    assert is_living(stranger)


@pytest.mark.parametrize("difference", [-1, 1, None])
async def test_b7_a_process_that_took_over_the_number_of_a_job_is_not_signalled(
    state_dir: Path, stranger: int, difference: int | None
) -> None:
    ticks = start_ticks(stranger)
    assert ticks is not None
    job_id = pretend(state_dir, stranger, boot=boot_id(), ticks=None if difference is None else ticks + difference)
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(job_id).state is JobState.LOST
    assert is_living(stranger)


async def test_b7_what_is_proven_to_be_left_of_a_job_without_shim_is_killed(state_dir: Path, stranger: int) -> None:
    job_id = pretend(state_dir, stranger, boot=boot_id(), ticks=start_ticks(stranger))
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(job_id).state is JobState.LOST
        await eventually(lambda: not is_living(stranger))


async def test_e8_a_second_supervisor_of_a_directory_is_refused_and_harms_nothing(
    supervisor: Supervisor, state_dir: Path
) -> None:
    job_id = await shell(supervisor, "echo ready; exec sleep 1000")
    with pytest.raises(StateError, match=rf"in use by another server \(process {os.getpid()}\)"):
        async with Supervisor(state_dir):
            pass
    await until_output(supervisor, job_id)
    await eventually(lambda: len(named("gproc-spawner")) == 1)


async def test_e8_a_supervisor_in_another_process_is_named(state_dir: Path) -> None:
    async with keeper(state_dir) as holder:
        with pytest.raises(StateError, match=rf"\(process {holder.process.pid}\)"):
            async with Supervisor(state_dir):
                pass
        await holder.kill()
    async with supervised(state_dir):
        pass


async def test_a_supervisor_runs_until_it_is_cancelled_and_lets_go_of_the_directory_then(state_dir: Path) -> None:
    lock = state_dir / "lock"
    running = asyncio.create_task(Supervisor(state_dir).run())
    await eventually(lambda: lock.exists() and lock.read_text() == f"{os.getpid()}\n")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with supervised(state_dir):
        pass


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
async def test_a_supervisor_that_is_cancelled_while_it_opens_leaves_nothing(state_dir: Path, turns: int) -> None:
    opening = asyncio.create_task(Supervisor(state_dir).run())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not named("gproc-spawner")
    async with supervised(state_dir):
        pass


async def test_e9_a_stale_lock_file_and_a_stale_socket_are_no_obstacle(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    os.kill(shim_pid(state_dir, started.id), signal.SIGKILL)
    await eventually(lambda: not working_in(state_dir))
    assert (state_dir / "jobs" / started.id / "shim.sock").is_socket()
    (state_dir / "lock").write_text("999999999\n")
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(started.id).state is JobState.LOST


async def test_e9_a_state_directory_may_lie_deeper_than_a_socket_address_reaches(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["directory" * 10] * 3)
    async with keeper(deep) as victim:
        started = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    async with supervised(deep) as supervisor:
        assert supervisor.status(started.id).state is JobState.RUNNING
        assert await output_of(supervisor, await shell(supervisor, "echo x")) == b"x\n"


async def test_e10_a_shim_hears_questions_that_it_does_not_know_and_goes_on(supervisor: Supervisor) -> None:
    job_id = await supervisor.start("sleep", ["1000"])
    link = supervisor._registry.get(job_id, None).link
    assert link is not None
    number, text = await link.ask("something of the future", more=1)
    assert (number, text) == (38, "this shim does not know how")
    assert supervisor.status(job_id).state is JobState.RUNNING


async def test_i6_records_are_private_and_leave_no_temporary_files(supervisor: Supervisor, state_dir: Path) -> None:
    job_id = await shell(supervisor, "echo x")
    await supervisor.wait(job_id)
    await eventually(lambda: not working_in(state_dir))
    directory = state_dir / "jobs" / job_id
    assert directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir() if path.name != "shim.sock"}
    assert modes == dict.fromkeys(("spec.json", "status.json", "output", "index"), 0o600)
    with opened(directory) as fd:
        assert read_record("status.json", dir_fd=fd)["exit_code"] == 0


@pytest.mark.parametrize("job_id", ["../../etc", "%2e%2e", "a" * 1_000_000, "a\0b", ""])
async def test_i5_an_id_that_is_none_is_not_found(supervisor: Supervisor, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        supervisor.status(job_id)
    with pytest.raises(JobNotFound):
        await supervisor.stop(job_id)
    with pytest.raises(JobNotFound):
        await supervisor.get_output(job_id)


async def test_g12_jobs_of_other_owners_are_as_if_they_were_not_there(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "echo ready; exec sleep 1000", owner="alice")
    for attempt in (
        supervisor.wait(job_id, owner="bob"),
        supervisor.stop(job_id, owner="bob"),
        supervisor.signal(job_id, signal.SIGTERM, owner="bob"),
        supervisor.remove(job_id, owner="bob"),
        supervisor.get_output(job_id, owner="bob"),
        anext(supervisor.watch([job_id], owner="bob")),
    ):
        with pytest.raises(JobNotFound, match=job_id):
            await attempt
    with pytest.raises(JobNotFound):
        supervisor.status(job_id, owner="bob")
    assert supervisor.list(owner="bob").jobs == ()
    assert supervisor.status(job_id, owner="alice").state is JobState.RUNNING


async def test_a_watch_tells_how_jobs_are_and_then_every_change(supervisor: Supervisor) -> None:
    old = await shell(supervisor, "exit 3")
    await supervisor.wait(old)
    async with asyncio.timeout(20), aclosing(supervisor.watch()) as statuses:
        first = await anext(statuses)
        assert (first.id, first.exit_code) == (old, 3)
        new = await supervisor.start("sleep", ["1000"])
        while (status := await anext(statuses)).state is not JobState.RUNNING:
            assert (status.id, status.state) == (new, JobState.PENDING)
        stopping = asyncio.ensure_future(supervisor.stop(new))
        while not (status := await anext(statuses)).is_final:
            assert status.id == new
        assert status == await stopping


async def test_a_watch_of_named_jobs_ends_with_them(supervisor: Supervisor) -> None:
    jobs = [await shell(supervisor, f"exit {code}") for code in (1, 2)]
    async with asyncio.timeout(20), aclosing(supervisor.watch(jobs)) as statuses:
        last = {status.id: status.exit_code async for status in statuses}
    assert last == dict(zip(jobs, (1, 2), strict=True))


async def test_e9_a_running_job_whose_socket_was_deleted_can_be_stopped_after_a_restart(
    state_dir: Path, mark: str
) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sleep", "1000"], env={"M": mark})
        await victim.kill()
    (state_dir / "jobs" / started.id / "shim.sock").unlink()
    async with asyncio.timeout(30), supervised(state_dir) as supervisor:
        assert (supervisor.status(started.id).state, len(living(mark))) == (JobState.RUNNING, 1)
        status = await supervisor.stop(started.id, owner=started.owner, signal=signal.SIGINT)
        assert (status.state, status.signal) == (JobState.STOPPED, "SIGINT")
        assert (status.stopped_by, status.reason) == (started.owner, f"stopped by {started.owner}")
        assert living(mark) == []


async def test_e9_a_stop_of_a_job_whose_socket_was_deleted_answers_when_the_job_is_final(
    state_dir: Path, mark: str
) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sh", "-c", TERM_IGNORED], env={"M": mark})
        await victim.kill()
    directory = state_dir / "jobs" / started.id
    (directory / "shim.sock").unlink()
    async with asyncio.timeout(30), supervised(state_dir) as supervisor:
        await until_output(supervisor, started.id)
        begun = time.monotonic()
        status = await supervisor.stop(started.id, grace=timedelta(seconds=0.2))
        assert time.monotonic() - begun < 5
        assert (status.state, status.signal, living(mark)) == (JobState.STOPPED, "SIGKILL", [])
        assert not (directory / "stop.json").exists()


async def test_e9_a_shim_that_cannot_pass_on_what_was_asked_stops_its_job_in_its_own_grace(
    state_dir: Path, mark: str
) -> None:
    async with Supervisor(state_dir, NO_RESERVE) as supervisor:
        policy = StopPolicy(grace=timedelta(seconds=6))
        job_id = await shell(supervisor, TERM_IGNORED, env={"M": mark}, stop=policy)
        await until_output(supervisor, job_id)
    directory = state_dir / "jobs" / job_id
    (directory / "shim.sock").unlink()
    (directory / "stop.json").mkdir()
    async with asyncio.timeout(40), supervised(state_dir) as supervisor:
        status = await supervisor.stop(job_id, grace=timedelta(seconds=0.1))
        assert (status.state, status.signal, living(mark)) == (JobState.STOPPED, "SIGKILL", [])
        assert (status.stopped_by, status.reason) == ("", "stopped because its shim was told to end")


async def test_b7_a_stranger_whose_number_is_in_the_record_gets_no_signal_for_a_shim_without_socket(
    state_dir: Path,
) -> None:
    async with keeper(state_dir) as victim:
        started = await victim.ask(start=["sleep", "1000"])
        await victim.kill()
    directory = state_dir / "jobs" / started.id
    (directory / "shim.sock").unlink()
    stranger = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        with opened(directory) as fd:
            record = read_record("status.json", dir_fd=fd)
            write_record("status.json", record | {"shim": record["shim"] | {"pid": stranger.pid}}, dir_fd=fd)
        async with asyncio.timeout(30), supervised(state_dir) as supervisor:
            assert (await supervisor.stop(started.id)).state is JobState.STOPPED
        assert is_living(stranger.pid)
    finally:
        stranger.kill()
        await stranger.wait()
