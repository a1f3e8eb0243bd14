from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gproc.errors import StateError
from gproc.model import JobState
from gproc.testing.faults import (
    NotProvenError,
    ServerProcess,
    frozen_shim,
    kill_server,
    kill_shim,
    kill_spawner,
    shim_pid,
    spawner_pid,
)
from gproc.testing.faults.processes import server_pid


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(tmp_path) as server:
        yield server


def of_process(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text()


async def test_a_server_keeps_port_and_jobs_when_it_is_killed_and_started_again(server: ServerProcess) -> None:
    client = server.client("alice")
    job = await client.start("sleep", ["60"])
    addr, pid = server.addr, server.pid
    assert await server.restart() > 0
    assert (server.addr, server.pid == pid) == (addr, False)
    assert (await client.status(job.id)).state is JobState.RUNNING


async def test_the_processes_of_a_server_are_found_by_what_they_hold(server: ServerProcess) -> None:
    job = await server.client("alice").start("sleep", ["60"])
    shim = shim_pid(server.state_dir, job.id)
    assert server_pid(server.state_dir) == server.pid
    assert len({shim, server.pid, spawner_pid(server.pid)}) == 3
    assert of_process(shim, "comm") == "gproc-shim\n"


async def test_who_is_cancelled_while_a_server_begins_or_ends_leaves_nothing(tmp_path: Path) -> None:
    begins, ends = asyncio.Event(), asyncio.Event()
    server = ServerProcess(tmp_path)

    async def use() -> None:
        begins.set()
        async with server:
            await server.client("alice").start("sleep", ["60"])
            ends.set()

    for moment in (begins, ends):
        user = asyncio.create_task(use())
        await moment.wait()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
        with pytest.raises(NotProvenError):
            server_pid(server.state_dir)
    (job,) = (server.state_dir / "jobs").iterdir()
    with pytest.raises(NotProvenError):
        shim_pid(server.state_dir, job.name)


async def test_whoever_is_not_there_is_not_killed(server: ServerProcess, tmp_path: Path) -> None:
    job = await server.client("alice").start("true")
    await job.wait()
    with pytest.raises(NotProvenError):
        kill_shim(server.state_dir, job.id)
    with pytest.raises(NotProvenError, match="nobody can be proven"):
        kill_server(tmp_path / "elsewhere")
    await server.kill()
    with pytest.raises(NotProvenError, match="nobody holds its lock"):
        kill_server(server.state_dir)
    with pytest.raises(StateError, match="does not run"):
        _ = server.pid


async def test_a_frozen_shim_goes_on_after_the_block(server: ServerProcess) -> None:
    job = await server.client("alice").start("sleep", ["60"])
    with frozen_shim(server.state_dir, job.id) as pid:
        assert of_process(pid, "stat").rpartition(")")[2].split()[0] == "T"
    assert (await job.stop()).state is JobState.STOPPED


async def test_jobs_start_again_after_the_spawner_was_killed(server: ServerProcess) -> None:
    client = server.client("alice")
    running = await client.start("sleep", ["60"])
    before = kill_spawner(server.state_dir)
    job = await client.start("true")
    assert (await job.wait()).exit_code == 0
    assert spawner_pid(server.pid) != before
    assert (await client.status(running.id)).state is JobState.RUNNING


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"did not start.*no_such_key"):
        async with ServerProcess(tmp_path, config="no_such_key = 1\n"):
            pass


async def test_a_frozen_server_answers_when_it_is_thawed(server: ServerProcess) -> None:
    client = server.client("alice")
    job = await client.start("true")
    server.freeze()
    server.thaw()
    assert (await job.wait()).exit_code == 0
    await server.end()
