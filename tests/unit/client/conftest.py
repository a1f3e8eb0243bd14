"""A small server with real TLS that keeps jobs in memory and can break connections at a chosen byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpclib.server
import pytest
import trustme
from gproc_support.messages import event_message
from grpclib.const import Handler

from gproc.client import Client, Patience
from gproc.errors import GprocError, JobFinished, JobNotFound
from gproc.model import (
    Chunk,
    End,
    Gap,
    JobPage,
    JobRequest,
    JobState,
    JobStatus,
    ListQuery,
    OutputRange,
    Stream,
    make_job_id,
)
from gproc.wire import (
    METHODS,
    RequestCodec,
    StatusDetailsCodec,
    StopQuery,
    job_id_from_message,
    list_query_from_message,
    output_range_from_message,
    request_from_message,
    signal_from_message,
    stop_from_message,
    to_grpc_error,
    watch_from_message,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PIECE = 1000
QUICK = Patience(total=10.0, attempts=3, first_delay=0.001, max_delay=0.02)

AnyStream = grpclib.server.Stream[Any, Any]


@dataclass
class Held:
    """One job of the small server."""

    status: JobStatus
    output: list[tuple[Stream, bytes] | int] = field(default_factory=list)
    """Writes in order; a number is that many dropped bytes."""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class SmallServer:
    """Answers like the real one. `cuts` holds, for each coming stream of output, after how many bytes it is broken."""

    def __init__(self) -> None:
        self.jobs: dict[str, Held] = {}
        self.by_request_id: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.ranges: list[OutputRange] = []
        self.list_queries: list[ListQuery] = []
        self.requests: list[JobRequest] = []
        self.stops: list[StopQuery] = []
        self.cuts: list[int] = []
        self.lost_replies = 0
        self.fail_with: list[GprocError] = []
        self.ends_early = 0
        self.is_mute = False
        self.streams_left = asyncio.Event()
        self.port = 0
        self._called = asyncio.Event()

    def add(self, *output: tuple[Stream, bytes] | int, state: JobState = JobState.EXITED) -> str:
        job_id = make_job_id(milliseconds=len(self.jobs), chance=len(self.jobs))
        total = sum(piece if isinstance(piece, int) else len(piece[1]) for piece in output)
        status = JobStatus(
            id=job_id,
            owner="alice",
            state=state,
            command="true",
            exit_code=0 if state is JobState.EXITED else None,
            output_bytes=total,
            created_at=NOW,
        )
        self.jobs[job_id] = Held(status, list(output))
        if state.is_final:
            self.jobs[job_id].is_over.set()
        return job_id

    def finish(self, job_id: str) -> None:
        held = self.jobs[job_id]
        held.status = replace(held.status, state=JobState.EXITED, exit_code=0)
        held.is_over.set()

    async def called(self, name: str, times: int) -> None:
        async with asyncio.timeout(5):
            while self.calls[name] < times:
                self._called.clear()
                await self._called.wait()

    def __mapping__(self) -> dict[str, Handler]:
        def entry(name: str, func: Callable[[AnyStream], Awaitable[None]]) -> tuple[str, Handler]:
            async def handle(stream: AnyStream) -> None:
                self.calls[name] += 1
                self._called.set()
                if self.is_mute:
                    await asyncio.sleep(3600)
                try:
                    if self.fail_with:
                        raise self.fail_with.pop(0)
                    await func(stream)
                except GprocError as error:
                    raise to_grpc_error(error) from None

            return METHODS[name].path, METHODS[name].handler(handle)

        names = ("Start", "Status", "Stop", "GetOutput", "Signal", "Wait", "List", "Watch", "Remove")
        return dict(entry(name, getattr(self, "_" + name.lower())) for name in names)

    def cut(self, stream: AnyStream) -> None:
        stream._stream._transport.abort()

    async def _reply(self, stream: AnyStream, status: JobStatus) -> None:
        if self.lost_replies:
            self.lost_replies -= 1
            self.cut(stream)
            return
        await stream.send_message(status)

    def _held(self, job_id: str) -> Held:
        if job_id not in self.jobs:
            raise JobNotFound(job_id)
        return self.jobs[job_id]

    async def _start(self, stream: AnyStream) -> None:
        request = request_from_message(await received(stream))
        self.requests.append(request)
        if request.request_id not in self.by_request_id:
            job_id = self.add((Stream.STDOUT, b"hello\n"), state=JobState.RUNNING)
            self.by_request_id[request.request_id] = job_id
            held = self.jobs[job_id]
            held.status = replace(held.status, command=request.command, args=request.args)
        await self._reply(stream, self.jobs[self.by_request_id[request.request_id]].status)

    async def _status(self, stream: AnyStream) -> None:
        await self._reply(stream, self._held(job_id_from_message(await received(stream))).status)

    async def _wait(self, stream: AnyStream) -> None:
        held = self._held(job_id_from_message(await received(stream)))
        if not self.lost_replies:
            await held.is_over.wait()
        await self._reply(stream, held.status)

    async def _stop(self, stream: AnyStream) -> None:
        query = stop_from_message(await received(stream))
        held = self._held(query.job_id)
        self.stops.append(query)
        held.status = replace(held.status, state=JobState.STOPPED, signal="SIGTERM")
        held.is_over.set()
        await self._reply(stream, held.status)

    async def _signal(self, stream: AnyStream) -> None:
        query = signal_from_message(await received(stream))
        held = self._held(query.job_id)
        if held.status.is_final:
            raise JobFinished(f"job {query.job_id}: it is over")
        await self._reply(stream, held.status)

    async def _remove(self, stream: AnyStream) -> None:
        job_id = job_id_from_message(await received(stream))
        self._held(job_id)
        del self.jobs[job_id]
        await stream.send_message(METHODS["Remove"].reply())

    async def _list(self, stream: AnyStream) -> None:
        query = list_query_from_message(await received(stream))
        self.list_queries.append(query)
        jobs = [held.status for held in reversed(self.jobs.values())]
        first = int(query.page_token or 0)
        last = first + query.page_size
        await stream.send_message(JobPage(tuple(jobs[first:last]), str(last) if last < len(jobs) else ""))

    async def _watch(self, stream: AnyStream) -> None:
        ids = watch_from_message(await received(stream))
        for job_id in ids:
            await stream.send_message(self._held(job_id).status)
        if self.cuts:
            self.cuts.pop()
            self.cut(stream)
            return
        for job_id in ids:
            held = self._held(job_id)
            if not held.status.is_final:
                await held.is_over.wait()
                await stream.send_message(held.status)

    async def _getoutput(self, stream: AnyStream) -> None:
        job_id, wanted = output_range_from_message(await received(stream))
        self.ranges.append(wanted)
        held = self._held(job_id)
        left = self.cuts.pop(0) if self.cuts else None
        start = max(wanted.offset, held.status.output_bytes - (wanted.tail_bytes or held.status.output_bytes))
        try:
            for event in events_from(held.output, start, wanted.streams):
                if left is not None:
                    if left <= 0:
                        self.cut(stream)
                        return
                    left -= len(event.data) if isinstance(event, Chunk) else event.bytes
                await stream.send_message(event_message(event))
            if left is not None:
                self.cut(stream)
                return
            if self.ends_early:
                self.ends_early -= 1
                return
            if wanted.follow:
                await held.is_over.wait()
            await stream.send_message(event_message(End(held.status)))
        finally:
            self.streams_left.set()


async def received(stream: AnyStream) -> Any:
    message = await stream.recv_message()
    assert message is not None
    return message


def events_from(output: list[tuple[Stream, bytes] | int], start: int, streams: frozenset[Stream]) -> list[Chunk | Gap]:
    events: list[Chunk | Gap] = []
    offset = 0
    for piece in output:
        if isinstance(piece, int):
            if offset + piece > start:
                events.append(Gap(offset, piece))
            offset += piece
            continue
        stream, data = piece
        if stream in streams:
            events += (
                Chunk(data[at : at + PIECE], stream, offset + at, NOW)
                for at in range(max(0, start - offset), len(data), PIECE)
            )
        offset += len(data)
    return events


@dataclass(frozen=True)
class Pki:
    """A throwaway authority, and files that it issued."""

    directory: Path
    authority: trustme.CA

    @property
    def cacert(self) -> Path:
        return self.directory / "ca.crt"

    def issue(self, name: str, *hosts: str) -> dict[str, Path]:
        issued = self.authority.issue_cert(*hosts, common_name=name)
        cert, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(cert)
        key.touch(mode=0o600)
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return {"cert": cert, "key": key}

    def files(self, name: str) -> dict[str, Path]:
        return {"cacert": self.cacert, **self.issue(name)}


def make_pki(directory: Path) -> Pki:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    directory.mkdir(exist_ok=True)
    authority.cert_pem.write_to_path(directory / "ca.crt")
    return Pki(directory, authority)


@asynccontextmanager
async def listening(server: SmallServer, pki: Pki, *, believes: Pki | None = None) -> AsyncIterator[SmallServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations((believes or pki).cacert)
    files = pki.issue("server", "localhost", "127.0.0.1")
    context.load_cert_chain(files["cert"], files["key"])
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        running = grpclib.server.Server([server], codec=RequestCodec(), status_details_codec=StatusDetailsCodec())
        await running.start(sock=listener, ssl=context)
        try:
            yield server
        finally:
            running.close()
            await running.wait_closed()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def other_pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="session")
def alice(pki: Pki) -> dict[str, Path]:
    return pki.files("alice")


@pytest.fixture
async def server(pki: Pki) -> AsyncIterator[SmallServer]:
    async with listening(SmallServer(), pki) as server:
        yield server


@pytest.fixture
async def client(server: SmallServer, alice: dict[str, Path]) -> AsyncIterator[Client]:
    cacert, cert, key = alice["cacert"], alice["cert"], alice["key"]
    async with Client(f"127.0.0.1:{server.port}", cacert=cacert, cert=cert, key=key, patience=QUICK) as client:
        yield client


@pytest.fixture
def serve() -> Callable[..., Any]:
    return listening
