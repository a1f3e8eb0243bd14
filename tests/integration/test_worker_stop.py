from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest
from gproc_support.processes import is_living, living, process_state
from gproc_support.supervision import output_of, shell, shim_pid, until_output
from gproc_support.waiting import eventually, soon

from gproc.errors import InvalidArgument, JobFinished, JobRunning
from gproc.model import JobState, JobStatus, StopPolicy
from gproc.worker import Supervisor

AT_ONCE = timedelta(0)
SHORT = timedelta(seconds=0.3)
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1000; done"


async def test_b1_a_stop_reaches_the_whole_group_and_says_so(supervisor: Supervisor, mark: str) -> None:
    job_id = await shell(supervisor, "sleep 1000 & sleep 1000 & echo ready; wait", env={"M": mark}, owner="alice")
    await until_output(supervisor, job_id)
    assert len(living(mark)) == 3
    status = await supervisor.stop(job_id, owner="alice")
    assert not living(mark)
    assert (status.state, status.signal, status.exit_code) == (JobState.STOPPED, "SIGTERM", None)
    assert (status.stopped_by, status.reason) == ("alice", "stopped by alice")


async def test_b1_the_states_on_the_way_are_running_stopping_stopped(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, STUBBORN)
    await until_output(supervisor, job_id)
    seen: list[JobState] = []

    async def watch() -> None:
        async with aclosing(supervisor.watch([job_id])) as statuses:
            seen.extend([status.state async for status in statuses])

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    await supervisor.stop(job_id, grace=SHORT)
    await asyncio.wait_for(watching, 5)
    assert list(dict.fromkeys(seen)) == [JobState.RUNNING, JobState.STOPPING, JobState.STOPPED]


async def test_b1_a_signal_to_continue_follows(supervisor: Supervisor) -> None:
    script = "trap 'echo term' TERM; trap 'echo cont' CONT; echo ready; while :; do sleep 0.02; done"
    job_id = await shell(supervisor, script)
    await until_output(supervisor, job_id)
    await supervisor.stop(job_id, grace=SHORT)
    assert {b"term", b"cont"} <= set((await output_of(supervisor, job_id)).split())


async def test_b1_a_job_that_ends_in_its_own_way_when_asked_keeps_its_code(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "trap 'echo bye; exit 5' HUP; echo ready; while :; do sleep 0.02; done")
    await until_output(supervisor, job_id)
    status = await supervisor.stop(job_id, signal=signal.SIGHUP)
    assert (status.state, status.exit_code, status.signal) == (JobState.STOPPED, 5, "")
    assert (await output_of(supervisor, job_id)).endswith(b"bye\n")


async def test_b1_a_job_is_stopped_as_its_request_said(supervisor: Supervisor) -> None:
    policy = StopPolicy(signal=signal.SIGINT, grace=SHORT)
    job_id = await supervisor.start("sleep", ["1000"], stop=policy)
    assert (await supervisor.stop(job_id)).signal == "SIGINT"
    stubborn = await shell(supervisor, "trap '' INT; echo ready; while :; do sleep 1000; done", stop=policy)
    await until_output(supervisor, stubborn)
    assert (await supervisor.stop(stubborn)).signal == "SIGKILL"


async def test_b2_a_job_that_ignores_sigterm_is_killed_after_its_grace(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, STUBBORN)
    await until_output(supervisor, job_id)
    begun = time.monotonic()
    status = await supervisor.stop(job_id, grace=SHORT)
    assert 0.3 <= time.monotonic() - begun < 1.3
    assert (status.state, status.signal) == (JobState.STOPPED, "SIGKILL")


async def test_b3_a_job_that_was_stopped_with_sigstop_is_stopped_all_the_same(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "echo ready; kill -STOP $$; sleep 1000")
    pid = supervisor.status(job_id).pid
    assert pid is not None
    await eventually(lambda: process_state(pid) == "T")
    begun = time.monotonic()
    assert (await supervisor.stop(job_id)).signal == "SIGTERM"
    assert time.monotonic() - begun < 5


async def test_b3_a_stop_that_takes_its_time_holds_up_nobody(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, STUBBORN)
    await until_output(supervisor, job_id)
    stopping = asyncio.ensure_future(supervisor.stop(job_id, grace=timedelta(seconds=30)))
    other = await supervisor.start("true")
    assert (await asyncio.wait_for(supervisor.wait(other), 5)).exit_code == 0
    assert not stopping.done()
    stopping.cancel()
    await supervisor.stop(job_id, grace=AT_ONCE)


ESCAPES = {
    "setsid": "setsid sleep 1000 &",
    "double fork": "(setsid sh -c 'sleep 1000 & exit' &)",
    "deaf": "(trap '' TERM HUP INT; setsid sh -c 'sleep 1000 & sleep 1000' &)",
    "stopped": "(setsid sh -c 'kill -STOP $$; sleep 1000' &)",
}


@pytest.mark.parametrize("escape", ESCAPES)
async def test_b4_what_left_the_group_is_gone_after_a_stop(supervisor: Supervisor, mark: str, escape: str) -> None:
    job_id = await shell(supervisor, f"{ESCAPES[escape]}\necho ready; sleep 1000", env={"M": mark})
    await until_output(supervisor, job_id)
    await eventually(lambda: len(living(mark)) >= 3)
    begun = time.monotonic()
    status = await supervisor.stop(job_id, grace=SHORT)
    assert not living(mark)
    assert time.monotonic() - begun < 1.3
    assert status.state is JobState.STOPPED


@pytest.mark.parametrize("escape", ESCAPES)
async def test_b4_what_a_job_leaves_behind_is_gone_when_it_is_final(
    supervisor: Supervisor, mark: str, escape: str
) -> None:
    script = f"{ESCAPES[escape]}\nexit 7"
    job_id = await shell(supervisor, script, env={"M": mark}, stop=StopPolicy(grace=SHORT))
    status = await asyncio.wait_for(supervisor.wait(job_id), 5)
    assert not living(mark)
    assert (status.state, status.exit_code) == (JobState.EXITED, 7)


async def test_b5_of_300_deaf_descendants_none_is_left_a_second_after_the_grace(
    supervisor: Supervisor, mark: str
) -> None:
    script = "trap '' TERM; for i in $(seq 300); do setsid sleep 1000 & done; echo ready; wait"
    job_id = await shell(supervisor, script, env={"M": mark})
    await until_output(supervisor, job_id)
    await eventually(lambda: len(living(mark)) >= 301)
    begun = time.monotonic()
    await supervisor.stop(job_id, grace=SHORT)
    assert time.monotonic() - begun < 1.3
    assert not living(mark)


async def test_b4_of_a_thousand_processes_left_behind_each_is_asked_to_end(supervisor: Supervisor) -> None:
    # It writes when it is asked; how many there are is more than the kernel shows of a process's children at once.
    asked = "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'.'), os._exit(0)))"
    script = f"import os, signal\n{asked}\nfor _ in range(1000):\n    if os.fork() == 0:\n        signal.pause()\n"
    policy = StopPolicy(grace=timedelta(seconds=12))
    job_id = await supervisor.start("python3", ["-c", f"{script}os._exit(0)"], stop=policy)
    status = await asyncio.wait_for(supervisor.wait(job_id), 15)
    assert (status.state, status.output_bytes) == (JobState.EXITED, 1000)


async def test_b5_a_job_that_forks_while_it_is_killed_is_gone(supervisor: Supervisor, mark: str) -> None:
    script = "trap '' TERM; for i in $(seq 300); do setsid sleep 1000 & [ $i = 30 ] && echo ready; done; wait"
    job_id = await shell(supervisor, script, env={"M": mark})
    await until_output(supervisor, job_id)
    await supervisor.stop(job_id, grace=AT_ONCE)
    assert not living(mark)


async def test_b6_a_finished_job_is_left_alone(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "exit 3")
    ended = await supervisor.wait(job_id)
    assert await supervisor.stop(job_id) == ended
    with pytest.raises(JobFinished, match="cannot be sent a signal"):
        await supervisor.signal(job_id, signal.SIGTERM)


async def test_b6_two_stops_at_once_are_one_signal_and_both_succeed(supervisor: Supervisor) -> None:
    script = "trap 'echo term' TERM; echo ready; while :; do sleep 0.02; done"
    job_id = await shell(supervisor, script)
    await until_output(supervisor, job_id)
    one, other = await asyncio.gather(*(supervisor.stop(job_id, grace=SHORT) for _ in range(2)))
    assert one == other
    assert one.state is JobState.STOPPED
    assert (await output_of(supervisor, job_id)).count(b"term") == 1


async def test_b6_a_second_stop_with_less_patience_is_obeyed(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, STUBBORN)
    await until_output(supervisor, job_id)
    patient = asyncio.ensure_future(supervisor.stop(job_id, grace=timedelta(seconds=60)))
    await eventually(lambda: supervisor.status(job_id).state is JobState.STOPPING)
    await asyncio.wait_for(supervisor.stop(job_id, grace=AT_ONCE), 5)
    assert (await asyncio.wait_for(patient, 5)).signal == "SIGKILL"


async def test_b9_a_job_that_kills_its_group_does_not_kill_its_shim(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "echo ready; kill -KILL 0; sleep 1000")
    status = await asyncio.wait_for(supervisor.wait(job_id), 5)
    assert (status.state, status.signal, status.output_bytes) == (JobState.SIGNALED, "SIGKILL", 6)


async def test_b9_a_shim_that_is_told_to_end_stops_its_job_first(
    supervisor: Supervisor, state_dir: Path, mark: str
) -> None:
    job_id = await shell(supervisor, "setsid sleep 1000 & echo ready; sleep 1000", env={"M": mark})
    await until_output(supervisor, job_id)
    os.kill(shim_pid(state_dir, job_id), signal.SIGTERM)
    status = await asyncio.wait_for(supervisor.wait(job_id), 5)
    assert (status.state, status.signal) == (JobState.STOPPED, "SIGTERM")
    assert not living(mark)


async def test_a_stop_of_a_job_whose_shim_is_frozen_answers_in_time_and_says_so(
    supervisor: Supervisor, state_dir: Path
) -> None:
    job_id = await supervisor.start("sleep", ["1000"], owner="alice")
    shim = shim_pid(state_dir, job_id)
    os.kill(shim, signal.SIGSTOP)
    try:
        status = await asyncio.wait_for(supervisor.stop(job_id, owner="alice", grace=SHORT), 15)
    finally:
        os.kill(shim, signal.SIGCONT)
    assert (status.state, status.reason) == (JobState.RUNNING, "its shim does not answer")
    status = await asyncio.wait_for(supervisor.wait(job_id), 5)
    assert (status.state, status.reason) == (JobState.STOPPED, "stopped by alice")


async def test_a_stop_of_a_job_that_ends_just_when_its_shim_is_given_up_tells_how_it_ended(
    supervisor: Supervisor, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.worker.link._ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("gproc.worker.supervisor._ENDING_SECONDS", 0.1)
    job_id = await supervisor.start("sleep", ["1000"], owner="alice")
    shim = shim_pid(state_dir, job_id)

    def leave_stop_late(*_: object) -> bool:
        os.kill(shim, signal.SIGCONT)
        soon(lambda: supervisor.status(job_id).is_final)
        return False

    monkeypatch.setattr("gproc.worker.supervisor.leave_stop", leave_stop_late)
    os.kill(shim, signal.SIGSTOP)
    assert await supervisor.stop(job_id, owner="alice") == supervisor.status(job_id)


async def test_b10_a_job_can_be_stopped_while_it_is_being_started(supervisor: Supervisor) -> None:
    starting = asyncio.ensure_future(supervisor.start("sleep", ["1000"]))
    (pending,) = await eventually(lambda: supervisor.list().jobs)
    assert pending.state is JobState.PENDING
    assert (await supervisor.stop(pending.id, grace=AT_ONCE)).state is JobState.STOPPED
    assert await starting == pending.id


async def test_b10_a_stop_that_races_the_end_gives_one_consistent_status(supervisor: Supervisor) -> None:
    async def race(number: int) -> JobStatus:
        job_id = await shell(supervisor, "exit 7")
        await asyncio.sleep(number / 10_000)  # so that some come before the end, and some after
        stopped = await supervisor.stop(job_id)
        assert await supervisor.wait(job_id) == stopped
        return stopped

    for status in await asyncio.gather(*(race(number) for number in range(60))):
        if status.state is JobState.EXITED:
            assert (status.exit_code, status.signal, status.stopped_by) == (7, "", "")
        else:
            assert status.state is JobState.STOPPED
            assert (status.exit_code == 7) != bool(status.signal)
            assert status.stopped_by == "local"


async def test_a_signal_reaches_the_group_and_the_job_goes_on(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done")
    await until_output(supervisor, job_id)
    assert (await supervisor.signal(job_id, signal.SIGUSR1)).state is JobState.RUNNING
    await until_output(supervisor, job_id, b"usr1")


async def test_a_signal_that_ends_a_job_is_its_own_end(supervisor: Supervisor) -> None:
    job_id = await supervisor.start("sleep", ["1000"])
    await supervisor.signal(job_id, signal.SIGKILL)
    status = await asyncio.wait_for(supervisor.wait(job_id), 5)
    assert (status.state, status.signal, status.stopped_by) == (JobState.SIGNALED, "SIGKILL", "")


async def test_a_job_whose_time_is_over_is_stopped(supervisor: Supervisor, mark: str) -> None:
    script = "trap '' TERM; setsid sleep 1000 & sleep 1000"
    begun = time.monotonic()
    job_id = await shell(
        supervisor, script, env={"M": mark}, timeout=timedelta(seconds=2), stop=StopPolicy(grace=SHORT)
    )
    status = await asyncio.wait_for(supervisor.wait(job_id), 10)
    assert 2.3 <= time.monotonic() - begun < 4
    assert (status.state, status.signal, status.stopped_by) == (JobState.TIMED_OUT, "SIGKILL", "")
    assert "its time of 2.0s was over" in status.reason
    assert not living(mark)


async def test_a_running_job_cannot_be_removed(supervisor: Supervisor) -> None:
    job_id = await supervisor.start("sleep", ["1000"])
    with pytest.raises(JobRunning, match="stop it first"):
        await supervisor.remove(job_id)


async def test_a_grace_below_zero_is_refused_and_harms_nobody(supervisor: Supervisor) -> None:
    job_id = await supervisor.start("sleep", ["1000"])
    with pytest.raises(InvalidArgument):
        await supervisor.stop(job_id, grace=timedelta(seconds=-1))
    pid = supervisor.status(job_id).pid
    assert pid is not None
    assert is_living(pid)
