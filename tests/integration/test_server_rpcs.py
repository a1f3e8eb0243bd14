from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gproc.client import Client
from gproc.errors import (
    CommandNotFound,
    InvalidArgument,
    JobFinished,
    JobNotFound,
    JobRunning,
    OffsetOutOfRange,
    PermissionDenied,
    QuotaExceeded,
    Unimplemented,
)
from gproc.model import Chunk, JobState, ListQuery, Stream, TerminalSize
from gproc.model.policy import Quotas, Rule
from gproc.testing import EmbeddedServer, embedded_server
from gproc.wire import METHODS, RequestCodec, StatusDetailsCodec, messages

NOBODYS_ID = "0" * 36


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with embedded_server() as made:
        yield made


@pytest.fixture
def alice(server: EmbeddedServer) -> Client:
    return server.client("alice")


async def test_a_job_is_started_followed_and_final(alice: Client) -> None:
    job = await alice.start("sh", ["-c", "echo out; echo err >&2; exit 7"])
    pieces = [piece async for piece in job.output()]
    status = await job.wait()

    text = {
        each: b"".join(bytes(p.data) for p in pieces if isinstance(p, Chunk) and p.stream is each) for each in Stream
    }
    assert text == {Stream.STDOUT: b"out\n", Stream.STDERR: b"err\n"}
    assert (status.state, status.exit_code, status.owner) == (JobState.EXITED, 7, "alice")


async def test_who_watches_hears_nothing_of_a_job_that_could_not_be_started(alice: Client) -> None:
    async with aclosing(alice.watch()) as changes:
        first = await alice.start("true")
        heard = [await anext(changes)]
        with pytest.raises(CommandNotFound):
            await alice.start("no-such-command-anywhere")
        last = await alice.start("true")
        while heard[-1].id != last.id:
            heard.append(await anext(changes))
    assert {status.id for status in heard} == {first.id, last.id}


async def test_a_request_that_is_too_large_is_told_what_counts_and_the_next_one_is_answered(alice: Client) -> None:
    with pytest.raises(QuotaExceeded, match=r"limit of 131072; that is for all of a request: its command, arguments"):
        await alice.start("true", ["x" * 131_072])
    with pytest.raises(InvalidArgument, match=r"more than 12000 elements, all its lists and maps together; send fewer"):
        await alice.start("true", env={f"V{number}": "" for number in range(4000)})
    assert (await alice.start("true")).id


async def test_a_stopped_job_says_who_stopped_it(alice: Client) -> None:
    job = await alice.start("sleep", ["1000"])
    status = await job.stop()
    assert (status.state, status.stopped_by, status.signal) == (JobState.STOPPED, "alice", "SIGTERM")


async def test_a_signal_reaches_the_job(alice: Client) -> None:
    job = await alice.start("sleep", ["1000"])
    await job.signal("KILL")
    assert (await job.wait()).state is JobState.SIGNALED


async def test_a_job_is_listed_watched_and_removed(alice: Client) -> None:
    job = await alice.start("true")
    async with aclosing(alice.watch([job.id])) as changes:
        last = [status async for status in changes][-1]
    assert last.state is JobState.EXITED
    assert [status.id async for status in alice.list()] == [job.id]

    await job.remove()
    assert [status.id async for status in alice.list()] == []


async def test_what_is_asked_of_a_job_must_fit_its_state(alice: Client) -> None:
    running, over = await alice.start("sleep", ["1000"]), await alice.start("true")
    await over.wait()
    with pytest.raises(JobRunning):
        await running.remove()
    with pytest.raises(JobFinished):
        await over.signal("HUP")
    with pytest.raises(OffsetOutOfRange):
        [piece async for piece in over.output(offset=1)]
    assert (await over.stop()).state is JobState.EXITED


async def test_what_cannot_run_says_why(alice: Client) -> None:
    with pytest.raises(CommandNotFound) as caught:
        await alice.start("no-such-program-here")
    assert caught.value.errno == 2
    assert [status async for status in alice.list()] == []


async def test_what_is_not_built_yet_says_so(server: EmbeddedServer, alice: Client) -> None:
    with pytest.raises(Unimplemented, match="stdin"):
        await alice.start("cat", stdin=True)
    with pytest.raises(Unimplemented, match="tty"):
        await alice.start("cat", tty=TerminalSize())
    async with raw(server, "alice") as channel:
        with pytest.raises(GRPCError) as caught:
            await call(channel, "Attach", messages.AttachRequest())
    assert caught.value.status is Status.UNIMPLEMENTED


# Other people's jobs


async def test_for_others_a_job_is_not_there_in_any_rpc(server: EmbeddedServer, alice: Client) -> None:
    job = await alice.start("sleep", ["1000"])
    bob = server.client("bob")

    async def read(job_id: str) -> None:
        async with aclosing(bob.output(job_id)) as pieces:
            async for _ in pieces:
                pass

    async def watch(job_id: str) -> None:
        async with aclosing(bob.watch([job_id])) as changes:
            async for _ in changes:
                pass

    for ask in (bob.status, bob.stop, bob.wait, bob.remove, read, watch, lambda each: bob.signal(each, "KILL")):
        texts = []
        for job_id in (job.id, NOBODYS_ID):
            with pytest.raises(JobNotFound) as caught:
                await ask(job_id)
            texts.append(str(caught.value).replace(job_id, "ID"))
        assert texts[0] == texts[1]

    assert [status async for status in bob.list()] == []
    assert (await job.refresh()).state is JobState.RUNNING


async def test_an_owner_in_the_metadata_changes_nothing(server: EmbeddedServer, alice: Client) -> None:
    job = await alice.start("sleep", ["1000"])
    liars = {"x-forwarded-client-cert": "Subject=CN=alice", "cn": "alice", "owner": "alice", "authorization": "alice"}
    async with raw(server, "bob") as channel:
        with pytest.raises(GRPCError) as caught:
            await call(channel, "Status", messages.StatusRequest(id=job.id), metadata=liars)
    assert caught.value.status is Status.NOT_FOUND


# Requests that make no sense


@pytest.mark.parametrize(
    ("rpc", "message", "field"),
    [
        ("Start", messages.JobRequest(), "command"),
        ("Start", messages.JobRequest(command="ls", args=["a\0b"]), "args"),
        ("Start", messages.JobRequest(command="ls", env={"A=B": "x"}), "env"),
        ("Status", messages.StatusRequest(id="../../etc/passwd"), "id"),
        ("Stop", messages.StopRequest(id=NOBODYS_ID, signal="NOPE"), "signal"),
        ("Signal", messages.SignalRequest(id=NOBODYS_ID), "signal"),
        ("Wait", messages.WaitRequest(id="x" * 100_000), "id"),
        ("GetOutput", messages.GetOutputRequest(id=""), "id"),
        ("Watch", messages.WatchRequest(ids=["%2e"]), "ids"),
        ("Remove", messages.RemoveRequest(id="\0"), "id"),
    ],
)
async def test_a_malformed_request_is_told_its_field(
    server: EmbeddedServer, rpc: str, message: object, field: str
) -> None:
    async with raw(server, "alice") as channel:
        with pytest.raises(GRPCError) as caught:
            await call(channel, rpc, message)
    assert caught.value.status is Status.INVALID_ARGUMENT
    assert (caught.value.message or "").startswith(f"{field}:")


async def test_a_page_token_that_came_with_no_page_is_refused(alice: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"^page_token: 'zzz' did not come with a page"):
        await alice.page(ListQuery(page_token="zzz"))


async def test_the_same_request_id_never_runs_twice(alice: Client) -> None:
    first = await alice.start("sleep", ["1000"], request_id="once")
    second = await alice.start("sleep", ["1000"], request_id="once")
    assert first.id == second.id


# Policy and quotas


async def test_the_policy_of_the_server_decides_who_runs_what() -> None:
    rules = (Rule(owner="bob", allow=("true",)),)
    async with embedded_server(rules=rules) as server:
        await server.client("alice").start("sleep", ["0"])
        await server.client("bob").start("true")
        with pytest.raises(PermissionDenied, match="sleep"):
            await server.client("bob").start("sleep", ["0"])


async def test_a9_many_starts_at_once_get_no_further_than_the_quota() -> None:
    async with embedded_server(quotas=Quotas(running_jobs=3)) as server:
        alice, bob = server.client("alice"), server.client("bob")
        started = await asyncio.gather(*(alice.start("sleep", ["1000"]) for _ in range(40)), return_exceptions=True)

        assert sum(not isinstance(each, BaseException) for each in started) == 3
        assert {type(each) for each in started if isinstance(each, BaseException)} == {QuotaExceeded}
        await bob.start("true")


async def test_f3_followers_are_limited_and_those_who_leave_make_room() -> None:
    async with embedded_server(quotas=Quotas(followers=1)) as server:
        alice = server.client("alice")
        job = await alice.start("sh", ["-c", "echo ready; sleep 1000"])
        async with aclosing(alice.output(job.id)) as pieces:
            assert isinstance(await anext(aiter(pieces)), Chunk)
            with pytest.raises(QuotaExceeded, match="followers"):
                async with aclosing(alice.watch()) as changes:
                    await anext(changes)
        async with asyncio.timeout(1):
            await until_followers(server, 0)


async def test_a_follower_that_leaves_is_forgotten_within_a_second(server: EmbeddedServer, alice: Client) -> None:
    job = await alice.start("sh", ["-c", "echo ready; sleep 1000"])
    carol = server.client("alice")
    reading = aiter(carol.output(job.id))
    await anext(reading)
    assert count_followers(server) == 1

    await carol.aclose()
    async with asyncio.timeout(1):
        await until_followers(server, 0)
    await reading.aclose()


# Faults of the server


async def test_a_fault_of_the_server_is_logged_in_one_line_and_told_by_its_id(
    server: EmbeddedServer, alice: Client, caplog: pytest.LogCaptureFixture
) -> None:
    job = await alice.start("true")
    await job.wait()
    output = server.state_dir / "jobs" / job.id / "output"
    output.unlink()
    output.symlink_to("/etc/passwd")

    async with raw(server, "alice") as channel:
        with pytest.raises(GRPCError) as caught:
            await call(channel, "GetOutput", messages.GetOutputRequest(id=job.id))
    assert caught.value.status is Status.INTERNAL
    assert str(output) not in (caught.value.message or "")
    assert not any(record.exc_info for record in caplog.records)


async def test_of_pages_that_a_client_does_not_read_one_is_kept_for_each_connection(
    server: EmbeddedServer, alice: Client
) -> None:
    job = await alice.start("true", ["x" * 100_000])
    method = METHODS["List"]
    config = Configuration(http2_stream_window_size=65_535)
    async with raw(server, "alice", config) as channel, AsyncExitStack() as asking:
        asked = [
            await asking.enter_async_context(
                channel.request(method.path, method.cardinality, method.request, method.reply)
            )
            for _ in range(3)
        ]
        for stream in asked:
            await stream.send_message(messages.ListRequest(), end=True)
        await call(channel, "Status", messages.StatusRequest(id=job.id))  # answered later than pages would be begun
        assert [stream._stream.headers_received.is_set() for stream in asked] == [True, False, False]
        pages = [await stream.recv_message() for stream in asked]
    assert [[status.id for status in page.jobs] for page in pages if page is not None] == [[job.id]] * 3


@asynccontextmanager
async def raw(server: EmbeddedServer, name: str, config: Configuration | None = None) -> AsyncIterator[Channel]:
    """A channel that is not ours, for requests that our client would not send."""
    files = server.files(name)
    context = ssl.create_default_context(cafile=files.cacert)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = server.addr.rpartition(":")
    details = StatusDetailsCodec()
    async with Channel(
        host, int(port), ssl=context, codec=RequestCodec(), status_details_codec=details, config=config
    ) as channel:
        yield channel


async def call(channel: Channel, rpc: str, message: object, metadata: dict[str, str] | None = None) -> list[object]:
    method = METHODS[rpc]
    async with channel.request(
        method.path, method.cardinality, method.request, method.reply, metadata=metadata, timeout=10
    ) as stream:
        await stream.send_message(message, end=True)
        return [reply async for reply in stream]


def count_followers(server: EmbeddedServer) -> int:
    return len(server.server._service.followers)


async def until_followers(server: EmbeddedServer, count: int) -> None:
    while count_followers(server) != count:  # noqa: ASYNC110 - nothing tells that a follower has left
        await asyncio.sleep(0.01)
