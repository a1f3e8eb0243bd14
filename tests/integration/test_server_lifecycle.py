from __future__ import annotations

import asyncio
import base64
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from grpclib.client import Channel
from grpclib.exceptions import GRPCError, StreamTerminatedError

from gproc.client import Client, Patience
from gproc.errors import JobNotFound, Unavailable
from gproc.model import Chunk, JobState, JobStatus
from gproc.testing import Authority
from gproc.wire import METHODS, RequestCodec

DRAIN_SECONDS = 5
ROOT = os.geteuid() == 0
PROGRAM = """
import asyncio, sys
from pathlib import Path
from gproc.errors import GprocError
from gproc.server import ServeOptions, serve

parent, addr, run_as = Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None
options = ServeOptions(
    addr=addr, cacert=parent / "ca.crt", cert=parent / "server.crt", key=parent / "server.key",
    state_dir=parent / "state", run_as=run_as,
)
try:
    asyncio.run(serve(options, ready=lambda addr: print(f"listening on {addr}", file=sys.stderr, flush=True)))
except GprocError as error:
    sys.exit(f"gproc: {error}")
"""


class Served:
    """A server in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        files = self.authority.server()
        files.cert.rename(directory / "server.crt")
        files.key.rename(directory / "server.key")
        self.addr = "localhost:0"
        self.lines: list[str] = []
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self, run_as: str = "root" if ROOT else "") -> None:
        command = (sys.executable, "-c", PROGRAM, str(self.directory), self.addr, run_as)
        self._process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        line = await self.line("listening on ")
        self.addr = line.removeprefix("listening on ")

    async def line(self, beginning: str) -> str:
        """Return the next line of the log that has *beginning* in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while raw := await self.process.stderr.readline():
                text = raw.decode().rstrip("\n")
                self.lines.append(text)
                if beginning in text:
                    return text
        raise AssertionError(f"the server ended without {beginning!r}: {self.lines}")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            assert self.process.stderr is not None
            self.lines += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()

    @asynccontextmanager
    async def client(self, name: str = "alice") -> AsyncIterator[Client]:
        files = self.authority.client(name)
        async with Client(
            self.addr, cacert=files.cacert, cert=files.cert, key=files.key, timeout=10, patience=Patience(total=0)
        ) as client:
            yield client


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    server = Served(tmp_path)
    try:
        yield server
    finally:
        if server._process is not None:
            if server.process.returncode is None:
                await server.end(signal.SIGKILL)
            await end_jobs(server)


async def end_jobs(server: Served) -> None:
    """Kill what the test left running: jobs outlive their server."""
    await server.start()
    async with server.client() as client:
        for status in [status async for status in client.list()]:
            if not status.is_final:
                await client.stop(status.id, signal="KILL", grace=0)
    await server.end()


async def test_a_drain_sends_followers_away_and_leaves_jobs_alone(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        job = await client.start("sh", ["-c", "echo ready; sleep 1000"])
        reading = aiter(job.output())
        assert isinstance(await anext(reading), Chunk)
        waiting = asyncio.create_task(client.wait(job.id))
        status = await job.refresh()

        assert await served.end() == 0
        with pytest.raises(Unavailable):
            await anext(reading)
        with pytest.raises(Unavailable):
            await waiting
    assert is_alive(status)

    await served.start()
    async with served.client() as client:
        again = await client.status(job.id)
        assert (again.state, again.pid) == (JobState.RUNNING, status.pid)


async def test_a_stop_in_progress_goes_on_without_the_server(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        job = await client.start("sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
        await anext(aiter(job.output()))
        stopping = asyncio.create_task(client.stop(job.id, grace=1.5))
        async with asyncio.timeout(10):
            while (await client.status(job.id)).state is not JobState.STOPPING:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.01)
        assert await served.end() == 0
        with pytest.raises(Unavailable):
            await stopping

    await served.start()
    async with served.client() as client:
        final = await client.wait(job.id)
        assert (final.state, final.stopped_by) == (JobState.STOPPED, "alice")


async def test_an_idle_client_does_not_keep_the_server(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        await client.start("true")
        async with asyncio.timeout(4):
            assert await served.end() == 0


async def test_a_killed_server_loses_nothing(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        job = await client.start("sh", ["-c", "echo one; sleep 1; echo two; exit 3"])
        await anext(aiter(job.output()))
    await served.end(signal.SIGKILL)
    await served.start()
    async with served.client() as client:
        pieces = [bytes(piece.data) async for piece in client.output(job.id) if isinstance(piece, Chunk)]
        status = await client.wait(job.id)
    assert b"".join(pieces) == b"one\ntwo\n"
    assert (status.state, status.exit_code) == (JobState.EXITED, 3)


async def test_sighup_takes_new_certificates_and_survives_bad_ones(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        await client.start("true")
        key = served.directory / "server.key"
        key.chmod(0o644)
        served.process.send_signal(signal.SIGHUP)
        assert "chmod 600" in await served.line("reload_failed")
        key.chmod(0o600)
        whole = key.read_bytes()
        for damaged, reason in ((whole[: len(whole) // 2], "not an unencrypted"), (of_another_curve(whole), "damaged")):
            key.write_bytes(damaged)
            served.process.send_signal(signal.SIGHUP)
            assert reason in await served.line("reload_failed")
        key.write_bytes(whole)
        served.process.send_signal(signal.SIGHUP)
        assert "connections_cut=0" in await served.line("server_reloaded")
        await client.start("true")
    assert await served.end() == 0


def of_another_curve(key: bytes) -> bytes:
    """Return *key* with one byte changed: it is of a curve that nobody knows."""
    first, *lines, last = key.splitlines()
    curve = bytes.fromhex("2a8648ce3d030107")
    content = base64.b64decode(b"".join(lines)).replace(curve, curve[:-1] + b"\x43")
    return b"\n".join((first, base64.b64encode(content), last, b""))


async def test_a_server_certificate_of_another_authority_is_warned_of_at_a_reload_and_at_the_start(
    served: Served,
) -> None:
    await served.start()
    (served.directory / "stranger").mkdir()
    files = Authority(served.directory / "stranger").server()
    own = {name: (served.directory / name).read_bytes() for name in ("server.crt", "server.key")}
    (served.directory / "server.crt").write_bytes(files.cert.read_bytes())
    (served.directory / "server.key").write_bytes(files.key.read_bytes())
    try:
        served.process.send_signal(signal.SIGHUP)
        assert "not issued by the authority" in await served.line("certificate_doubtful")
        assert await served.end() == 0
        served.lines.clear()
        await served.start()
        assert [line for line in served.lines if "certificate_doubtful" in line]
        assert await served.end() == 0
    finally:
        for name, content in own.items():
            (served.directory / name).write_bytes(content)


async def test_the_log_tells_who_did_what(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        job = await client.start("sleep", ["1000"], name="a\nname")
        await client.signal(job.id, "CONT")
        await job.stop()
        await job.remove()
        with pytest.raises(JobNotFound):
            await job.refresh()
    await served.end()
    told = [line.split(" ", 2)[2] for line in served.lines if f"job={job.id}" in line]
    assert [line.split()[0] for line in told] == [
        "job_started",
        "job_signaled",
        "job_stop",
        "job_ended",
        "job_removed",
    ]
    assert all("owner=alice" in line for line in told)


async def test_the_log_tells_of_a_job_whose_client_left_before_the_answer(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        await client.start("true")
        for attempt in range(30):
            starting = asyncio.create_task(client.start("sleep", ["1000"]))
            await asyncio.sleep(0.0005 + 0.0001 * attempt)
            starting.cancel()
            await asyncio.wait([starting])
        async with asyncio.timeout(10):
            # It is another process.
            while [each async for each in client.list() if each.state is JobState.PENDING]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        jobs = {status.id async for status in client.list()}
    await served.end()
    told = {job for job in jobs for line in served.lines if " job_started " in line and f"job={job}" in line}
    assert told == jobs


async def test_a_request_that_comes_again_starts_no_second_job_in_the_log_either(served: Served) -> None:
    await served.start()
    async with served.client() as client:
        first, again = [await client.start("true", request_id="one") for _ in range(2)]
    await served.end()
    assert again.id == first.id
    assert len([line for line in served.lines if " job_started " in line and f"job={first.id}" in line]) == 1


@pytest.mark.skipif(not ROOT, reason="only root must say who runs the jobs")
async def test_root_must_say_who_runs_the_jobs(served: Served) -> None:
    with pytest.raises(AssertionError, match="--run-as USER"):
        await served.start(run_as="")
    assert await served.process.wait() == 1


@pytest.mark.skipif(not ROOT, reason="only root can run jobs as somebody else")
async def test_jobs_run_as_the_user_that_was_named(served: Served) -> None:
    await served.start(run_as="nobody")
    async with served.client() as client:
        job = await client.start("id", ["-un"])
        pieces = [bytes(piece.data) async for piece in job.output() if isinstance(piece, Chunk)]
    assert b"".join(pieces) == b"nobody\n"
    await served.end()


async def test_a_second_server_on_the_same_jobs_refuses(served: Served, tmp_path: Path) -> None:
    await served.start()
    command = (sys.executable, "-c", PROGRAM, str(tmp_path), "localhost:0", "root" if ROOT else "")
    second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        _, said = await second.communicate()
    assert second.returncode == 1
    assert said.decode().splitlines()[-1].startswith("gproc: ")
    async with served.client() as client:
        await client.start("true")


async def test_a_server_whose_parent_had_signals_blocked_works_and_ends_all_the_same(served: Served) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
    try:
        await served.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    async with served.client() as client:
        assert (await (await client.start("true")).wait()).state is JobState.EXITED
    assert await served.end() == 0


async def test_a_second_signal_does_not_wait_for_requests_in_progress(served: Served) -> None:
    await served.start()
    files = served.authority.client("alice")
    context = ssl.create_default_context(cafile=files.cacert)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = served.addr.rpartition(":")
    method = METHODS["Status"]
    async with Channel(host, int(port), ssl=context, codec=RequestCodec()) as channel:
        with suppress(GRPCError, StreamTerminatedError):
            async with channel.request(method.path, method.cardinality, method.request, method.reply) as stream:
                await stream.send_request()  # and never the message
                async with served.client() as client:
                    await client.start("true")
                served.process.send_signal(signal.SIGTERM)
                await served.line("server_draining")
                began = time.monotonic()
                assert await served.end(signal.SIGTERM) == 0
                assert time.monotonic() - began < DRAIN_SECONDS / 2
                await stream.recv_message()


def is_alive(status: JobStatus) -> bool:
    assert status.pid is not None
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    return True
