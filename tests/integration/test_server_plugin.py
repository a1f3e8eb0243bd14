"""Somebody else's project uses the fixtures: each test is a project of its own, run in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SYNC = """
def test_a_job_runs(gproc_server):
    with gproc_server.blocking_client("alice") as client:
        job = client.start("sh", ["-c", "echo hello; exit 3"])
        assert b"".join(bytes(piece.data) for piece in job.output()) == b"hello\\n"
        assert job.wait().exit_code == 3
        client.start("sleep", ["1000"])

def test_every_test_has_a_server_of_its_own(gproc_server):
    assert list(gproc_server.blocking_client("alice").list()) == []
    assert gproc_server.files("bob").key.stat().st_mode & 0o077 == 0
"""

ASYNC = """
import pytest
MARK

async def test_a_job_runs(gproc_client):
    job = await gproc_client.start("sh", ["-c", "echo hello; exit 3"])
    assert b"".join([bytes(piece.data) async for piece in job.output()]) == b"hello\\n"
    assert (await job.wait()).exit_code == 3

async def test_two_clients_of_one_server(gproc_server, gproc_client):
    job = await gproc_client.start("sleep", ["1000"])
    async with gproc_server.client("bob") as bob:
        with pytest.raises(Exception, match="not found"):
            await bob.status(job.id)
"""

CHEAP = """
import sys

def test_the_plugin_imports_nothing_of_weight():
    assert "gproc.testing.plugin" in sys.modules
    heavy = {"trustme", "cryptography", "grpclib", "betterproto", "gproc.server", "gproc.client"}
    assert not heavy & sys.modules.keys()
"""


WITH_ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function")


def run(project: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    (project / "test_theirs.py").write_text(test)
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_theirs.py")
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=50, check=False)


def check(result: subprocess.CompletedProcess[str], passed: int) -> None:
    assert f"{passed} passed" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


def test_without_an_event_loop(tmp_path: Path) -> None:
    check(run(tmp_path, SYNC, *WITH_ASYNCIO), 2)


def test_without_pytest_asyncio(tmp_path: Path) -> None:
    check(run(tmp_path, SYNC, "-p", "no:asyncio"), 2)


@pytest.mark.parametrize(("mode", "mark"), [("strict", "pytestmark = pytest.mark.asyncio"), ("auto", "")])
def test_with_pytest_asyncio(tmp_path: Path, mode: str, mark: str) -> None:
    check(run(tmp_path, ASYNC.replace("MARK", mark), f"--asyncio-mode={mode}", *WITH_ASYNCIO), 2)


def test_who_does_not_use_it_does_not_pay_for_it(tmp_path: Path) -> None:
    check(run(tmp_path, CHEAP, *WITH_ASYNCIO), 1)
