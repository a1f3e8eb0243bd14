from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import pytest

from gproc.cli.live.foreground import listen
from gproc.model import Chunk, Gap, JobState, JobStatus


class Over:
    """What a client has of a job that wrote nothing and is over: the job, and its output."""

    def __init__(self, end: JobStatus) -> None:
        self.id = end.id
        self.end = end
        self.offset = 0
        self.on_break: Any = None

    def output(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk | Gap:
        raise StopAsyncIteration


BLOCKED = "the server may not send it SIGTERM"
UNKNOWN = "how it ended cannot be known, because its status record is missing"


@pytest.mark.parametrize(
    ("state", "signal", "by", "reason", "told"),
    [
        (JobState.STOPPED, "SIGTERM", "alice", "stopped by alice", "stopped SIGTERM by alice"),
        (JobState.STOPPED, "SIGTERM", "alice", "", "stopped SIGTERM by alice"),
        (JobState.STOPPED, "SIGKILL", "bob", f"stopped by bob; {BLOCKED}", f"stopped SIGKILL by bob; {BLOCKED}"),
        (JobState.STOPPED, "SIGTERM", "", "stopped because it was late", "stopped SIGTERM because it was late"),
        (JobState.STOPPED, "SIGTERM", "", "", "stopped SIGTERM"),
        (JobState.TIMED_OUT, "SIGTERM", "", "stopped because it was late", "timed out SIGTERM because it was late"),
        (JobState.LOST, "", "alice", UNKNOWN, f"lost: {UNKNOWN}"),
    ],
)
async def test_how_a_job_ended_who_did_it_and_why_are_told_once_each(
    capfd: pytest.CaptureFixture[str], state: JobState, signal: str, by: str, reason: str, told: str
) -> None:
    end = JobStatus(
        id="0" * 36, owner="alice", state=state, command="true", signal=signal, stopped_by=by, reason=reason
    )
    code = await listen(Over(end), with_interrupts=False)  # type: ignore[arg-type]  # it is one for as much as is used
    assert (code, capfd.readouterr().err) == (end.shell_code, f"gproc: the job is over: {told}\n")
