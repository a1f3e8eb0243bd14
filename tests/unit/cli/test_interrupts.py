from __future__ import annotations

import asyncio
import os
import signal

import pytest
from gproc_support.waiting import eventually

from gproc.cli.live.interrupts import Interrupts
from gproc.errors import GprocError, JobFinished, PermissionDenied, Unavailable


class Steered:
    """What a client's job does with a signal and a stop, without a client: it takes note, and answers as it is told."""

    def __init__(
        self, *, is_away: bool = False, to_signal: GprocError | None = None, to_stop: GprocError | None = None
    ) -> None:
        self.told: list[str] = []
        self._is_away = is_away
        self._to_signal = to_signal
        self._to_stop = to_stop

    async def signal(self, number: signal.Signals) -> None:
        self.told.append(number.name)
        if self._is_away:
            await asyncio.Event().wait()
        if self._to_signal is not None:
            raise self._to_signal

    async def stop(self) -> None:
        """Take as long as a job that does not end."""
        self.told.append("stop")
        if self._to_stop is not None:
            raise self._to_stop
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("left")


class Listening:
    """A task that listens to a job until it is cancelled, and somebody at its keyboard."""

    def __init__(self, job: Steered) -> None:
        self._job = job
        self.interrupts = Interrupts(job)  # type: ignore[arg-type]  # it is one for as much as is used
        self._begun = asyncio.Event()
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async with self.interrupts:
            self._begun.set()
            await asyncio.Event().wait()

    async def press(self, *expected: str, times: int = 1) -> None:
        """Press Ctrl-C; return once the job was told all that is *expected*."""
        await self._begun.wait()
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        await eventually(lambda: self._job.told == [*expected])

    def says_that_it_is_being_stopped(self) -> bool:
        return self.interrupts.has_stopped

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_the_first_ctrl_c_is_the_jobs_and_the_second_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    listening = Listening(Steered())
    await listening.press("SIGINT")
    assert not listening.says_that_it_is_being_stopped()
    assert capsys.readouterr().err == ""
    await listening.press("SIGINT", "stop")
    assert listening.says_that_it_is_being_stopped()
    assert capsys.readouterr().err == "gproc: stopping the job; Ctrl-C again leaves it to itself\n"
    assert not listening.task.done()
    await listening.leave()


async def test_a_ctrl_c_that_the_server_does_not_answer_is_told_with_what_the_next_one_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.cli.live.interrupts._QUIET_SECONDS", 0.01)
    listening = Listening(Steered(is_away=True))
    await listening.press("SIGINT")
    told = "gproc: Ctrl-C waits for the server, which has not answered yet; Ctrl-C again stops the job\n"
    await eventually(lambda: capsys.readouterr().err == told)
    await listening.leave()


async def test_a_second_ctrl_c_before_that_leaves_nothing_to_tell_of_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.cli.live.interrupts._QUIET_SECONDS", 0.0)
    listening = Listening(Steered(is_away=True))
    await listening.press("SIGINT", "stop", times=2)
    await listening.leave()
    assert capsys.readouterr().err == "gproc: stopping the job; Ctrl-C again leaves it to itself\n"


async def test_the_third_ctrl_c_leaves_also_while_the_stop_has_no_answer_yet() -> None:
    listening = Listening(Steered())
    await listening.press("SIGINT")
    await listening.press("SIGINT", "stop")
    await listening.press("SIGINT", "stop", "left")
    with pytest.raises(asyncio.CancelledError):
        await listening.task
    assert listening.says_that_it_is_being_stopped()


async def test_afterwards_ctrl_c_is_what_it_was_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    listening = Listening(Steered())
    await listening.press("SIGINT")
    await listening.leave()
    assert signal.getsignal(signal.SIGINT) is before


async def test_where_ctrl_c_is_ignored_the_job_does_not_hear_of_it_either() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        job = Steered()
        listening = Listening(job)
        await listening.press()
        await asyncio.sleep(0.05)
        await listening.leave()
        assert job.told == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


async def test_a_signal_that_cannot_be_sent_is_told_and_the_next_ctrl_c_stops_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listening = Listening(Steered(to_signal=PermissionDenied("job x: SIGINT was refused by the system")))
    await listening.press("SIGINT")
    await eventually(lambda: capsys.readouterr().err == "gproc: job x: SIGINT was refused by the system\n")
    await listening.press("SIGINT", "stop")
    await listening.leave()


async def test_a_signal_to_a_job_that_just_ended_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    listening = Listening(Steered(to_signal=JobFinished("job x: finished")))
    await listening.press("SIGINT")
    await listening.leave()
    assert capsys.readouterr().err == ""


async def test_a_stop_that_failed_is_told_and_nobody_claims_that_the_job_is_being_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listening = Listening(Steered(to_stop=Unavailable("localhost:3000: the connection broke; try again")))
    await listening.press("SIGINT")
    await listening.press("SIGINT", "stop")
    await eventually(lambda: not listening.says_that_it_is_being_stopped())
    await listening.leave()
    assert capsys.readouterr().err.splitlines() == [
        "gproc: stopping the job; Ctrl-C again leaves it to itself",
        "gproc: localhost:3000: the connection broke; try again",
    ]
