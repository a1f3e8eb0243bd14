"""A client that is not ours: grpcio and google.protobuf, generated from the proto, against our server."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from signal import Signals
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from gproc.model import (
    JobRequest,
    JobState,
    JobStatus,
    Limits,
    ListQuery,
    OutputPolicy,
    OutputRange,
    StopPolicy,
    Stream,
    Usage,
)
from gproc.testing import ThreadedServer
from gproc.wire.requests import list_query_to_bytes, output_range_to_bytes, request_to_bytes
from gproc.wire.values import status_to_bytes

PROTO = Path(__file__).parents[2] / "proto"
LIMIT = 20


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The modules that protoc makes for everybody else."""
    target = tmp_path_factory.mktemp("generated")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO / 'gproc' / 'v1'}"]
    command += [f"--python_out={target}", f"--grpc_python_out={target}", "jobs.proto"]
    subprocess.run(command, check=True, timeout=60)
    sys.path.insert(0, str(target))
    try:
        messages, services = (import_module(name) for name in ("jobs_pb2", "jobs_pb2_grpc"))
        yield SimpleNamespace(messages=messages, services=services)
    finally:
        sys.path.remove(str(target))


class Foreigner:
    """One owner with a grpcio channel."""

    def __init__(self, server: ThreadedServer, name: str, foreign: SimpleNamespace) -> None:
        files = server.files(name)
        credentials = grpc.ssl_channel_credentials(
            files.cacert.read_bytes(), files.key.read_bytes(), files.cert.read_bytes()
        )
        self.channel = grpc.secure_channel(server.addr, credentials)
        self.jobs: Any = foreign.services.JobServiceStub(self.channel)
        self.messages: Any = foreign.messages

    def start(self, *argv: str) -> str:
        request = self.messages.JobRequest(command=argv[0], args=argv[1:])
        return str(self.jobs.Start(request, timeout=LIMIT).id)

    def output(self, job_id: str, **wanted: object) -> list[Any]:
        return list(self.jobs.GetOutput(self.messages.GetOutputRequest(id=job_id, **wanted), timeout=LIMIT))


@pytest.fixture
def alice(gproc_server: ThreadedServer, foreign: SimpleNamespace) -> Iterator[Foreigner]:
    client = Foreigner(gproc_server, "alice", foreign)
    with client.channel:
        yield client


@pytest.fixture
def bob(gproc_server: ThreadedServer, foreign: SimpleNamespace) -> Iterator[Foreigner]:
    client = Foreigner(gproc_server, "bob", foreign)
    with client.channel:
        yield client


def test_a_foreign_client_starts_a_job_and_is_told_its_status(alice: Foreigner) -> None:
    status = alice.jobs.Start(alice.messages.JobRequest(command="sleep", args=["100"], name="nap"), timeout=LIMIT)

    assert (status.owner, status.name, status.state) == ("alice", "nap", alice.messages.JOB_STATE_RUNNING)
    assert status.pid > 0
    assert not status.HasField("exit_code")

    ended = alice.jobs.Stop(alice.messages.StopRequest(id=status.id), timeout=LIMIT)

    assert (ended.state, ended.signal, ended.stopped_by) == (alice.messages.JOB_STATE_STOPPED, "SIGTERM", "alice")


def test_it_follows_both_streams_to_a_message_with_the_end(alice: Foreigner) -> None:
    job = alice.start("sh", "-c", "echo out; sleep 0.05; echo err >&2; exit 7")

    *pieces, last = alice.output(job)

    told = [(alice.messages.Stream.Name(piece.stream), piece.offset, piece.data) for piece in pieces]
    assert told == [("STREAM_STDOUT", 0, b"out\n"), ("STREAM_STDERR", 4, b"err\n")]
    assert last.HasField("end")
    assert (last.end.state, last.end.exit_code) == (alice.messages.JOB_STATE_EXITED, 7)
    assert all(piece.time.seconds > 1_700_000_000 for piece in pieces)


def test_it_receives_many_bytes_as_they_were_written(alice: Foreigner) -> None:
    size = 8 * 1024 * 1024
    job = alice.start("sh", "-c", f"head -c {size} /dev/urandom | tee /dev/stderr | sha256sum >&2")

    pieces = alice.output(job)

    chosen = alice.messages.STREAM_STDERR
    kept = b"".join(piece.data for piece in pieces if piece.stream == chosen)
    assert len(kept) == size + 68
    assert hashlib.sha256(kept[:size]).hexdigest() == kept[size:].split()[0].decode()
    offset = 0
    for piece in pieces[:-1]:
        assert piece.offset == offset
        offset += len(piece.data)


def test_it_joins_in_the_middle_and_asks_for_one_stream_only(alice: Foreigner) -> None:
    job = alice.start("sh", "-c", "printf 12345678; sleep 0.05; printf no >&2; sleep 0.05; printf 90")

    pieces = alice.output(job, offset=4, streams=[alice.messages.STREAM_STDOUT])

    assert [(piece.offset, piece.data) for piece in pieces[:-1]] == [(4, b"5678"), (10, b"90")]


def test_it_is_refused_the_jobs_of_others_as_if_they_did_not_exist(alice: Foreigner, bob: Foreigner) -> None:
    job = alice.start("true")
    nobodys = job[:-4] + "0000"
    messages = bob.messages
    asked = {
        "Status": messages.StatusRequest,
        "Stop": messages.StopRequest,
        "Wait": messages.WaitRequest,
        "Remove": messages.RemoveRequest,
    }
    for method, request in asked.items():
        told = []
        for job_id in (job, nobodys):
            with pytest.raises(grpc.RpcError) as refused:
                getattr(bob.jobs, method)(request(id=job_id), timeout=LIMIT)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
            told.append(str(refused.value.details()).replace(job_id, "ID"))
        assert told[0] == told[1]
    with pytest.raises(grpc.RpcError) as refused:
        bob.jobs.Signal(messages.SignalRequest(id=job, signal="HUP"), timeout=LIMIT)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as refused:
        bob.output(job)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert list(bob.jobs.List(messages.ListRequest(), timeout=LIMIT).jobs) == []


def test_errors_have_the_codes_of_the_contract(alice: Foreigner) -> None:
    messages, codes = alice.messages, grpc.StatusCode
    finished = alice.start("true")
    alice.jobs.Wait(messages.WaitRequest(id=finished), timeout=LIMIT)
    cases = [
        (
            alice.jobs.Start,
            messages.JobRequest(command="no-such-program"),
            codes.FAILED_PRECONDITION,
            "no-such-program",
        ),
        (alice.jobs.Start, messages.JobRequest(), codes.INVALID_ARGUMENT, "command"),
        (alice.jobs.Start, messages.JobRequest(command="cat", stdin=True), codes.UNIMPLEMENTED, "stdin"),
        (alice.jobs.Status, messages.StatusRequest(id="../../x"), codes.INVALID_ARGUMENT, "id"),
        (alice.jobs.Signal, messages.SignalRequest(id=finished, signal="HUP"), codes.FAILED_PRECONDITION, finished),
        (alice.jobs.Signal, messages.SignalRequest(id=finished, signal="NO"), codes.INVALID_ARGUMENT, "signal"),
    ]
    for call, request, code, word in cases:
        with pytest.raises(grpc.RpcError) as refused:
            call(request, timeout=LIMIT)
        assert refused.value.code() is code
        assert word in str(refused.value.details())
    with pytest.raises(grpc.RpcError) as refused:
        alice.output(finished, offset=1)
    assert refused.value.code() is codes.OUT_OF_RANGE


def test_a_request_that_is_sent_twice_starts_one_job(alice: Foreigner) -> None:
    request = alice.messages.JobRequest(command="true", request_id="once")

    first, second = (alice.jobs.Start(request, timeout=LIMIT) for _ in range(2))

    assert first.id == second.id


def test_it_watches_a_job_to_its_end_and_removes_it(alice: Foreigner) -> None:
    messages = alice.messages
    job = alice.start("sh", "-c", "sleep 0.1; exit 3")

    statuses = list(alice.jobs.Watch(messages.WatchRequest(ids=[job]), timeout=LIMIT))

    assert statuses[-1].state == messages.JOB_STATE_EXITED
    assert statuses[-1].exit_code == 3
    alice.jobs.Remove(messages.RemoveRequest(id=job), timeout=LIMIT)
    with pytest.raises(grpc.RpcError) as refused:
        alice.jobs.Status(messages.StatusRequest(id=job), timeout=LIMIT)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_it_pages_through_its_jobs_newest_first(alice: Foreigner) -> None:
    messages = alice.messages
    started = [alice.start("true") for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = alice.jobs.List(messages.ListRequest(page_size=2, page_token=token), timeout=LIMIT)
        seen += [status.id for status in page.jobs]
        token = page.next_page_token
        if not token:
            break

    assert seen == started[::-1]


def test_what_our_own_client_asks_is_written_as_everybody_else_writes_it(foreign: SimpleNamespace) -> None:
    request = JobRequest(
        command="ping",
        args=("-c", "", "grüße"),
        env={"A": "b"},
        working_directory="/srv",
        name="n",
        labels={"k": "v"},
        request_id="r",
        timeout=timedelta(seconds=1, microseconds=5),
        stop=StopPolicy(signal=Signals.SIGINT, grace=timedelta(milliseconds=1)),
        limits=Limits(memory_bytes=2**40, open_files=64, output_policy=OutputPolicy.STOP, cpu_millis=500),
    )
    wanted = OutputRange(offset=7, follow=False, streams=frozenset({Stream.STDERR}), tail_lines=0)
    for name, encoded in (
        ("JobRequest", request_to_bytes(request)),
        ("GetOutputRequest", output_range_to_bytes(("0" * 36, wanted))),
        ("ListRequest", list_query_to_bytes(ListQuery(states=frozenset(JobState), labels={"k": "v"}))),
    ):
        theirs = getattr(foreign.messages, name).FromString(encoded)
        assert theirs.SerializeToString(deterministic=True) == encoded

    theirs = foreign.messages.JobRequest.FromString(request_to_bytes(request))
    assert (theirs.command, list(theirs.args), dict(theirs.env)) == ("ping", ["-c", "", "grüße"], {"A": "b"})
    assert (theirs.timeout.ToTimedelta(), theirs.stop.signal) == (request.timeout, "SIGINT")
    assert (theirs.limits.memory_bytes, theirs.limits.cpu_millis) == (2**40, 500)


def test_a_status_is_written_as_everybody_else_writes_it(foreign: SimpleNamespace) -> None:
    status = JobStatus(
        id="0" * 36,
        owner="alice",
        state=JobState.EXITED,
        command="sh",
        args=("-c", "exit 0"),
        exit_code=0,
        created_at=datetime(1969, 12, 31, 23, 59, 59, 5, tzinfo=UTC),
        output_bytes=2**40,
        usage=Usage(cpu_seconds=0.25, max_rss_bytes=2**33),
        limits={"memory_bytes": "enforced"},
    )
    encoded = status_to_bytes(status)
    theirs = foreign.messages.JobStatus.FromString(encoded)
    assert theirs.SerializeToString(deterministic=True) == encoded
    assert (theirs.state, theirs.HasField("exit_code")) == (foreign.messages.JOB_STATE_EXITED, True)
    assert theirs.created_at.ToDatetime(UTC) == status.created_at
