"""Jobs that became somebody whom the server may not signal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from gproc_support.supervision import keeper
from gproc_support.waiting import eventually

from gproc.model import JobState

NOBODY = 65534
SETPRIV = shutil.which("setpriv") or ""
AS_NOBODY = (
    *(SETPRIV, "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"),
    # Wherever this Python is, it can be executed; whom it may signal is not changed by that.
    *("--inh-caps", "-all,+dac_read_search", "--ambient-caps", "-all,+dac_read_search"),
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not SETPRIV, reason="needs root and setpriv(1)")


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A directory that an ordinary user can reach and has for itself."""
    path = Path(tempfile.mkdtemp(prefix="gproc-nobody-"))
    try:
        path.chmod(0o755)
        os.chown(path, NOBODY, NOBODY)
        yield path
    finally:
        shutil.rmtree(path)


async def test_b8_a_job_that_became_root_is_told_to_be_out_of_reach_and_goes_on(nobodys: Path) -> None:
    become_root = nobodys / "become-root"
    shutil.copy(SETPRIV, become_root)
    become_root.chmod(0o4755)
    async with keeper(nobodys / "state", env={"HOME": str(nobodys)}, through=AS_NOBODY) as server:
        command = [str(become_root), "--reuid", "0", "--regid", "0", "--clear-groups", "sleep", "1000"]
        job = await server.ask(start=command, working_directory="/")
        assert job.pid is not None
        try:
            await eventually(lambda: uids(job.pid) == ["0", "0", "0", "0"])

            answer = await server.answer(signal="SIGHUP", id=job.id)
            assert answer["refused"].endswith("SIGHUP was refused by the system: Operation not permitted")
            assert answer["state"] == "running"

            stopping = await server.ask(stop=job.id, grace=0.1)
            assert (stopping.state, stopping.pid) == (JobState.STOPPING, job.pid)
            told = f"stopped by local; the server may not send it SIGTERM; processes that cannot be killed: {job.pid}"
            async with asyncio.timeout(10):
                while (await server.ask(status=job.id)).reason != told:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
            assert uids(job.pid) == ["0", "0", "0", "0"]
        finally:
            with suppress(ProcessLookupError):
                os.kill(job.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while not (status := await server.ask(status=job.id)).is_final:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        assert (status.state, status.signal, status.exit_code) == (JobState.STOPPED, "SIGKILL", None)


def uids(pid: int | None) -> list[str]:
    """Return the real, effective, saved and file system user of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith("Uid:"))
