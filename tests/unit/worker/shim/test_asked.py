from __future__ import annotations

import errno
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from signal import Signals

import pytest

from gproc.errors import JobFinished
from gproc.model import JobState
from gproc.worker import Supervisor


@pytest.mark.parametrize(
    "details",
    [
        {"signal": "SIGNOTHING", "grace": 1.0, "by": "alice"},
        {"signal": "SIGTERM", "grace": -1.0, "by": "alice"},
        {"signal": "SIGTERM", "grace": "soon", "by": "alice"},
        {"signal": "SIGTERM", "grace": 1e300, "by": "alice"},
        {"signal": "SIGTERM"},
    ],
)
async def test_a_job_survives_a_request_that_makes_no_sense(details: dict[str, object], tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        job = await supervisor.start("sleep", ["60"])
        link = supervisor._registry.get(job, None).link
        assert link is not None
        number, _ = await link.ask("stop", **details)
        assert number == errno.EINVAL
        assert supervisor.status(job).state is JobState.RUNNING
        assert (await supervisor.stop(job)).state is JobState.STOPPED


async def test_a_group_that_outlives_its_program_can_be_signalled_and_no_other(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        member = await supervisor.start("sh", ["-c", f"trap '' TERM; ({_LISTENER}) & exit 0"])
        stranger = await supervisor.start("sh", ["-c", f"trap '' TERM; setsid sh -c '{_LISTENER}' & exit 0"])
        for job in (member, stranger):
            await _ready(supervisor, job)
        assert (await supervisor.signal(member, Signals.SIGHUP)).state is JobState.STOPPING
        with pytest.raises(JobFinished):
            await supervisor.signal(stranger, Signals.SIGHUP)
        for job in (member, stranger):
            await supervisor.stop(job, grace=timedelta(seconds=0.2))
        assert b"heard" in await supervisor.get_output(member)


_LISTENER = 'trap "echo heard" HUP; echo ready; while :; do sleep 0.01; done'


async def _ready(supervisor: Supervisor, job: str) -> None:
    async with aclosing(supervisor.watch_output(job)) as pieces:
        await anext(pieces)
    async with aclosing(supervisor.watch([job])) as statuses:
        async for status in statuses:
            if status.state is JobState.STOPPING:
                return
