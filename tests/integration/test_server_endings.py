from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from gproc.errors import StartFailed
from gproc.testing import embedded_server


def endings(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "job_ended"]


async def until(caplog: pytest.LogCaptureFixture, count: int) -> list[dict[str, object]]:
    async with asyncio.timeout(10):
        while len(endings(caplog)) < count:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    return endings(caplog)


async def test_each_job_that_ends_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gproc.server")
    async with embedded_server() as server:
        alice = server.client("alice")
        quick = await alice.start("sh", ["-c", "exit 3"])
        await quick.wait()
        stopped = await alice.start("sleep", ["1000"])
        await stopped.stop()
        with pytest.raises(StartFailed):
            await alice.start("there-is-no-such-program")
        last = await alice.start("true")
        await last.wait()
        told = await until(caplog, 3)
    assert [(ending["job"], ending["state"]) for ending in told] == [
        (quick.id, "exited"),
        (stopped.id, "stopped"),
        (last.id, "exited"),
    ]
    assert (told[0]["owner"], told[0]["exit_code"]) == ("alice", 3)
    assert told[1]["signal"] == "SIGTERM"


async def test_jobs_that_ended_under_an_earlier_server_are_old_news(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, "gproc.server")
    for directory in (tmp_path / "one", tmp_path / "two"):
        directory.mkdir()
    async with embedded_server(directory=tmp_path / "one") as server:
        job = await server.client("alice").start("true")
        await job.wait()
        await until(caplog, 1)
    (tmp_path / "one" / "state").rename(tmp_path / "two" / "state")
    async with embedded_server(directory=tmp_path / "two") as server:
        fresh = await server.client("alice").start("true")
        await fresh.wait()
        told = await until(caplog, 2)
    assert [ending["job"] for ending in told] == [job.id, fresh.id]
