"""Owners with Unix users of their own: what a job of one can do to the other's, and to the server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gproc.client import Client
from gproc.model import Chunk, JobState
from gproc.testing import EmbeddedServer, embedded_server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as other users")
USERS = {"alice": "nobody", "bob": "daemon"}


@pytest.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    async with embedded_server(users=USERS) as server:
        yield server


async def told(client: Client, *argv: str) -> tuple[int | None, str]:
    """Run a command to its end; return its code and all it said."""
    async with asyncio.timeout(30):
        job = await client.start(argv[0], argv[1:], working_directory="/")
        pieces = [bytes(piece.data) async for piece in job.output() if isinstance(piece, Chunk)]
        status = await job.wait()
    return status.exit_code, b"".join(pieces).decode()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_job_runs_as_the_user_of_its_owner_with_no_way_back(server: EmbeddedServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        _, alices = await told(alice, "id", "-un")
        _, bobs = await told(bob, "id", "-un")
        _, status = await told(alice, "grep", "-E", "^(Uid|Gid|NoNewPrivs|CapEff)", "/proc/self/status")

    assert (alices.strip(), bobs.strip()) == ("nobody", "daemon")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert len(set(fields["Uid"].split())) == 1
    assert len(set(fields["Gid"].split())) == 1
    assert "0" not in fields["Uid"].split()
    assert fields["NoNewPrivs"] == "1"
    assert int(fields["CapEff"], 16) == 0


async def test_it_cannot_read_the_output_of_another_nor_the_keys_of_the_server(server: EmbeddedServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        secret = await alice.start("echo", ["secret"], working_directory="/")
        await secret.wait()
        kept = server.state_dir / "jobs" / secret.id / "output"
        keys = list(Path(server.files("alice").key).parent.rglob("*.key"))
        assert kept.read_bytes() == b"secret\n"
        assert keys

        for path in (kept, *keys):
            code, said = await told(bob, "cat", str(path))

            assert code != 0
            assert "ermission denied" in said


async def test_it_can_signal_neither_a_shim_nor_the_job_of_another(server: EmbeddedServer) -> None:
    async with server.client("alice") as alice, server.client("bob") as bob:
        job = await alice.start("sleep", ["100"], working_directory="/")
        pid = (await job.refresh()).pid
        assert pid is not None
        shim = parent(pid)

        for target in (pid, shim):
            code, said = await told(bob, "sh", "-c", f"kill -9 {target}")

            assert code != 0
            assert "not permitted" in said
        assert (await job.refresh()).state is JobState.RUNNING
        await job.stop()
