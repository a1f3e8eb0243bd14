"""The Python that the documents show, as they show it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gproc.client import Client
from gproc.testing.threaded import ThreadedServer, threaded_server

ROOT = Path(__file__).parents[2]
TESTING = "docs/howto/testing.md"
REFERENCE = "docs/reference/python.md"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("GPROC_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, cwd=cwd, env=clean, timeout=50, check=False
    )


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded_server() as running:
        yield running


def said_by(program: str, server: ThreadedServer, cwd: Path) -> list[str]:
    """Return what a program prints that speaks as alice with a server on localhost:3000."""
    files = server.files("alice")
    (cwd / "pki").mkdir()
    for name, path in (("ca.crt", files.cacert), ("alice.crt", files.cert), ("alice.key", files.key)):
        (cwd / "pki" / name).symlink_to(path)
    assert "localhost:3000" in program
    done = run("-c", program.replace("localhost:3000", server.addr), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_readmes_python_prints_what_the_job_wrote(server: ThreadedServer, tmp_path: Path) -> None:
    (block,) = blocks("README.md")
    assert sorted(said_by(block, server, tmp_path)) == ["exited 7", "stderr err", "stdout out"]


def test_the_reference_starts_many_jobs_and_stops_one(server: ThreadedServer, tmp_path: Path) -> None:
    (program,) = [block for block in blocks(REFERENCE) if "from gproc import Chunk, Client" in block]
    assert said_by(program, server, tmp_path) == ["[7, 14, 21]", "True stopped by alice", "2", "[0, 0, 0]"]


def test_the_reference_does_so_without_await(server: ThreadedServer, tmp_path: Path) -> None:
    (program,) = [block for block in blocks(REFERENCE) if "blocking.Client(" in block]
    assert said_by(program, server, tmp_path) == ["[7, 14, 21]", "exited", "exited", "exited"]


def test_the_reference_has_jobs_without_a_server(tmp_path: Path) -> None:
    (program,) = [block for block in blocks(REFERENCE) if "Supervisor(" in block]
    done = run("-c", program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["stdout b'out\\n'", "7", "b'nobody was there\\n'", "SIGTERM"]


def test_the_tests_in_the_guide_to_testing_pass(tmp_path: Path) -> None:
    tests = [block for block in blocks(TESTING) if "def test_" in block]
    for number, block in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(block, encoding="utf-8")
    (settings,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / TESTING).read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{sum(block.count('def test_') for block in tests)} passed" in done.stdout


def test_the_programs_in_the_guide_to_testing_run(tmp_path: Path) -> None:
    (program,) = [block for block in blocks(TESTING) if "def test_" not in block]
    done = run("-c", program, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "bob sees nothing\n", "")


async def test_the_guide_to_output_saves_it_byte_for_byte(gproc_client: Client) -> None:
    (block,) = blocks("docs/howto/output.md")
    shown: dict[str, Any] = {}
    exec(compile(block, "output.md", "exec"), shown)
    job = await gproc_client.start("sh", ["-c", "printf 0123456789; exit 4"])
    await job.wait()
    file = io.BytesIO()
    assert await shown["save"](gproc_client, job.id, 3, file) == 4
    assert file.getvalue() == b"3456789"
