"""The unit file of the documentation under the systemd of this machine; skipped where there is none, or no root."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGKILL

import pytest

from gproc.client import Client
from gproc.errors import Unavailable
from gproc.model import Chunk, JobState, Limits, Stream
from gproc.testing import Authority
from gproc.worker.limits import ENFORCED

UNIT = Path(__file__).parents[2] / "docs" / "howto" / "gproc.service"
BOOTED = Path("/run/systemd/system")  # see sd_booted(3)
pytestmark = [
    pytest.mark.skipif(not BOOTED.exists() or os.geteuid() != 0, reason="needs root and a machine run by systemd"),
    pytest.mark.timeout(180),
]


class Service:
    """The unit, with files and a port of its own."""

    def __init__(self, directory: Path, cgroup: Path | None) -> None:
        self.name = f"gproc-test-{os.getpid()}.service"
        self.cgroup = cgroup
        self.authority = Authority(directory)
        with socket.create_server(("localhost", 0)) as free:
            self.addr = f"localhost:{free.getsockname()[1]}"
        text = UNIT.read_text(encoding="utf-8")
        text = re.sub(r"(?s)ExecStart=.*?[^\\]\n", lambda _: f"ExecStart={self._command(directory)}\n", text)
        (BOOTED / self.name).write_text(re.sub(r"StateDirectory.*\n", "", text), encoding="utf-8")
        self.ctl("daemon-reload")

    def ctl(self, *arguments: str) -> str:
        return subprocess.run(["systemctl", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    @property
    def holds_limits(self) -> bool:
        """Whether the kernel holds the limits of whole jobs: systemd can start a server in a leaf from 254 on."""
        return self.cgroup is not None or int(self.ctl("--version").split()[1]) >= 254

    def finds(self, command: str) -> bool:
        return subprocess.run(["pgrep", "-fx", command], check=False).returncode == 0

    def main_pid(self) -> int:
        return int(self.ctl("show", "--property=MainPID", "--value", self.name))

    def remove(self) -> None:
        subprocess.run(["systemctl", "kill", "--kill-whom=all", "--signal=KILL", self.name], check=False)
        self.ctl("stop", self.name)
        (BOOTED / self.name).unlink()
        self.ctl("daemon-reload")
        if self.cgroup is not None:
            for group in (*(self.cgroup / "jobs").glob("*/"), self.cgroup / "jobs", self.cgroup):
                group.rmdir()

    async def client(self) -> Client:
        """Return a client, when the server answers."""
        files = self.authority.client("alice")
        client = Client(self.addr, cacert=files.cacert, cert=files.cert, key=files.key)
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.connect()
                except Unavailable:
                    await asyncio.sleep(0.1)
                else:
                    return client

    def _command(self, directory: Path) -> str:
        files, config = self.authority.server(), directory / "gproc.toml"
        config.write_text(f'[cgroup]\npath = "{self.cgroup}"\n' if self.cgroup else "", encoding="utf-8")
        gproc = Path(sys.executable).with_name("gproc")
        tls = f"--cacert {files.cacert} --cert {files.cert} --key {files.key}"
        state = f"--state-dir {directory / 'state'} --config {config}"
        return f"{gproc} --addr {self.addr} {tls} serve {state} --run-as nobody"


@pytest.fixture(params=["the unit's cgroup", "a cgroup of its own"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    own = Path(f"/sys/fs/cgroup/gproc-test-{os.getpid()}") if "its own" in request.param else None
    service = Service(tmp_path, own)
    try:
        service.ctl("start", service.name)
        yield service
    finally:
        service.remove()


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_e11_jobs_live_on_when_systemd_starts_the_server_again(service: Service, how: str) -> None:
    async with await service.client() as client:
        job = await client.start(
            "sh", ["-c", "trap 'echo after; exit 7' USR1; echo before; while :; do sleep 0.1; done"]
        )
        before, server = await client.status(job.id), service.main_pid()
        if how == "restart":
            service.ctl("restart", service.name)
        else:
            os.kill(server, SIGKILL)  # Restart=always brings the next one
    async with await service.client() as client:
        assert service.main_pid() not in {0, server}
        assert (await client.status(job.id)).pid == before.pid
        await client.signal(job.id, "USR1")
        status = await client.wait(job.id)
        output = client.output(job.id, streams=[Stream.STDOUT])  # the shell speaks of the signal, too
        pieces = [bytes(piece.data) async for piece in output if isinstance(piece, Chunk)]
    assert (status.state, status.exit_code) == (JobState.EXITED, 7)
    assert b"".join(pieces) == b"before\nafter\n"


async def test_limits_of_a_job_are_held_or_told_and_one_without_memory_does_not_end_the_server(
    service: Service,
) -> None:
    hold = f"{sys.executable} -c 'held = bytearray({50 * 2**20}); import time; time.sleep(60)'"
    async with await service.client() as client:
        server = service.main_pid()
        limits = Limits(memory_bytes=80 * 2**20, processes=10, cpu_millis=900)
        if not service.holds_limits:
            job = await client.start("true", limits=limits)
            assert "unavailable" in (await client.wait(job.id)).limits["cpu_millis"]
            return
        job = await client.start("sh", ["-c", f"{hold} & {hold}"], limits=limits)
        status = await client.wait(job.id)
        assert status.limits == dict.fromkeys(("memory_bytes", "processes", "cpu_millis"), ENFORCED)
        assert (status.state, status.signal) == (JobState.SIGNALED, "SIGKILL")
        assert "memory limit" in status.reason
        assert service.main_pid() == server
        assert (await client.wait((await client.start("true")).id)).exit_code == 0


async def test_b4_a_stop_reaches_all_that_is_in_the_cgroup_of_the_job(service: Service) -> None:
    async with await service.client() as client:
        job = await client.start("sh", ["-c", "(setsid env -i sleep 317 &); (setsid env -i sleep 317 &); sleep 317"])
        assert (await client.stop(job.id)).state is JobState.STOPPED
    assert not service.finds("sleep 317")
