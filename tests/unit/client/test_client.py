from __future__ import annotations

import asyncio
import errno
import re
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from signal import Signals
from typing import Any

import pytest

from gproc.client import Client, Patience
from gproc.errors import (
    CommandNotFound,
    DeadlineExceeded,
    InvalidArgument,
    JobFinished,
    JobNotFound,
    Unavailable,
)
from gproc.model import JobRequest, JobState, Limits, StopPolicy, Stream, TerminalSize
from gproc.wire import StopQuery


async def test_start_returns_a_job_with_its_status(client: Client, server: Any) -> None:
    job = await client.start("ping", ["-c", "3", "localhost"])
    assert job.status is not None
    assert (job.status.command, job.status.args) == ("ping", ("-c", "3", "localhost"))
    assert job.id in server.jobs
    assert repr(job) == f"<Job {job.id} running>"


async def test_all_that_a_job_can_be_asked_for_reaches_the_server(client: Client, server: Any) -> None:
    await client.start(
        "sh",
        ["-c", "x"],
        env={"A": "b"},
        working_directory="/tmp",
        name="n",
        labels={"k": "v"},
        request_id="r",
        timeout=1.5,
        stop=StopPolicy(signal=Signals.SIGINT, grace=timedelta(0)),
        stdin=True,
        tty=TerminalSize(rows=3, columns=4),
        limits=Limits(memory_bytes=5),
    )
    assert server.requests == [
        JobRequest(
            command="sh",
            args=("-c", "x"),
            env={"A": "b"},
            working_directory="/tmp",
            name="n",
            labels={"k": "v"},
            request_id="r",
            timeout=timedelta(seconds=1.5),
            stop=StopPolicy(signal=Signals.SIGINT, grace=timedelta(0)),
            stdin=True,
            tty=TerminalSize(rows=3, columns=4),
            limits=Limits(memory_bytes=5),
        )
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "nan is not a number of seconds"),
        (float("inf"), "inf is not a number of seconds"),
        (1e300, "1e+300 is not a number of seconds"),
        ("5s", "'5s' is neither a number of seconds nor"),
        ([1], "[1] is neither a number of seconds nor"),
        ({}, "{} is neither a number of seconds nor"),
        (True, "True is neither a number of seconds nor"),
    ],
)
async def test_a_time_that_cannot_be_counted_is_refused_with_the_name_of_its_field(
    client: Client, server: Any, value: Any, problem: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^timeout: {re.escape(problem)}"):
        await client.start("true", timeout=value)
    with pytest.raises(InvalidArgument, match=f"^grace: {re.escape(problem)}"):
        await client.stop(server.add(), grace=value)
    assert not server.calls


@pytest.mark.parametrize("value", [["a"], "a=b", {"a"}])
async def test_labels_and_variables_without_values_are_refused_with_the_name_of_their_field(
    client: Client, server: Any, value: Any
) -> None:
    with pytest.raises(InvalidArgument, match=f"^labels: must be a dict of texts, not {re.escape(repr(value))}"):
        await client.start("true", labels=value)
    with pytest.raises(InvalidArgument, match=r"^env: "):
        await client.start("true", env=value)
    with pytest.raises(InvalidArgument, match=r"^labels: "):
        await anext(client.list(labels=value))
    assert not server.calls


@pytest.mark.parametrize(
    ("field", "ask"),
    [
        ("request", lambda client, job_id: client.submit("true")),
        ("id", lambda client, job_id: client.status(None)),
        ("signal", lambda client, job_id: client.signal(job_id, None)),
        ("query", lambda client, job_id: client.page({"name": "web"})),
        ("states", lambda client, job_id: anext(client.list(states=["running"]))),
        ("states", lambda client, job_id: anext(client.list(states=JobState.RUNNING))),
        ("ids", lambda client, job_id: anext(client.watch(None))),
        ("ids", lambda client, job_id: anext(client.watch(job_id))),
        ("streams", lambda client, job_id: anext(client.output(job_id, streams=["stdout"]))),
        ("streams", lambda client, job_id: anext(client.output(job_id, streams=Stream.STDOUT))),
        ("patience", lambda client, job_id: anext(client.output(job_id, patience=5))),
        ("patience", lambda client, job_id: anext(client.watch(patience=5))),
    ],
)
async def test_what_is_not_of_its_kind_never_leaves_the_client(
    client: Client, server: Any, field: str, ask: Callable[..., Awaitable[object]]
) -> None:
    job_id = server.add()
    with pytest.raises(InvalidArgument, match=f"^{field}: "):
        await ask(client, job_id)
    assert not server.calls


@pytest.mark.parametrize("seconds", ["5", None, True, -1, float("nan"), timedelta(seconds=5)])
def test_a_limit_for_calls_that_is_no_number_of_seconds_is_refused(alice: Any, seconds: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^timeout: must be a number of seconds"):
        Client("localhost:1", **alice, timeout=seconds)


@pytest.mark.parametrize("seconds", [99_999_999, 1e9, 10**400, float("inf")])
async def test_a_limit_for_calls_may_be_longer_than_can_be_told(
    client: Client, alice: Any, server: Any, seconds: float
) -> None:
    async with Client(client.address, **alice, timeout=seconds) as patient:
        assert (await patient.status(server.add())).owner == "alice"


async def test_a_timeout_too_short_to_be_sent_is_not_lost(client: Client, server: Any) -> None:
    await client.start("true", timeout=1e-9)
    assert server.requests[0].timeout == timedelta(microseconds=1)


async def test_a_request_id_that_was_used_for_another_command_is_refused(client: Client, server: Any) -> None:
    job = await client.start("echo", ["two words"], request_id="taken")
    assert (await client.start("echo", ["two words"], request_id="taken")).id == job.id
    with pytest.raises(InvalidArgument) as caught:
        await client.start("echo", ["ho"], request_id="taken")
    assert str(caught.value) == (
        f"request_id: 'taken' was used before, for `echo 'two words'` (job {job.id}); nothing was started; use another"
    )


async def test_a_lost_reply_does_not_run_the_program_twice(client: Client, server: Any) -> None:
    server.lost_replies = 1
    await client.start("true")
    await client.start("true")
    assert server.calls["Start"] == 3
    assert len(server.jobs) == 2


async def test_a_program_that_is_not_there_is_a_typed_error_with_its_errno(client: Client, server: Any) -> None:
    server.fail_with = [CommandNotFound("nosuch: no such program on the server", errno.ENOENT)]
    with pytest.raises(CommandNotFound, match="nosuch: no such program on the server") as caught:
        await client.start("nosuch")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.exit_code == 127


async def test_the_server_names_the_field_that_it_does_not_like(client: Client, server: Any) -> None:
    server.fail_with = [InvalidArgument("labels", "too many")]
    with pytest.raises(InvalidArgument, match=r"^labels: too many$") as caught:
        await client.start("true")
    assert caught.value.field == "labels"


async def test_a_draining_server_is_asked_again(client: Client, server: Any) -> None:
    job_id = server.add()
    server.fail_with = [Unavailable("draining")]
    assert (await client.status(job_id)).id == job_id
    assert server.calls["Status"] == 2


async def test_an_error_that_will_not_go_away_is_not_tried_again(client: Client, server: Any) -> None:
    missing = server.add()
    del server.jobs[missing]
    with pytest.raises(JobNotFound, match=f"job {missing}: not found"):
        await client.status(missing)
    assert server.calls["Status"] == 1


async def test_wait_goes_on_over_broken_connections(client: Client, server: Any) -> None:
    job = client.job(server.add(state=JobState.RUNNING))
    server.lost_replies = 3
    waiting = asyncio.create_task(job.wait())
    await server.called("Wait", 4)
    server.finish(job.id)
    assert (await waiting).state is JobState.EXITED
    assert job.status is not None
    assert job.status.is_final


async def test_stop_returns_the_final_status(client: Client, server: Any) -> None:
    job = client.job(server.add(state=JobState.RUNNING))
    status = await job.stop(signal="INT", grace=0.5)
    assert status.state is JobState.STOPPED
    assert server.stops == [StopQuery(job_id=job.id, signal=Signals.SIGINT, grace=timedelta(seconds=0.5))]
    assert job.status == status


async def test_signal_is_never_sent_twice(client: Client, server: Any) -> None:
    job = client.job(server.add(state=JobState.RUNNING))
    await job.refresh()
    server.lost_replies = 1
    with pytest.raises(Unavailable):
        await job.signal("HUP")
    assert server.calls["Signal"] == 1


async def test_signal_to_a_finished_job_says_so(client: Client, server: Any) -> None:
    with pytest.raises(JobFinished):
        await client.signal(server.add(), Signals.SIGHUP)


async def test_a_signal_that_does_not_exist_never_leaves_the_client(client: Client, server: Any) -> None:
    with pytest.raises(InvalidArgument, match="signal: 'FOO' is not a signal"):
        await client.signal(server.add(), "FOO")
    assert server.calls["Signal"] == 0


async def test_remove_forgets_the_job(client: Client, server: Any) -> None:
    job = client.job(server.add())
    await job.remove()
    assert server.jobs == {}


async def test_something_that_is_no_id_never_leaves_the_client(client: Client, server: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"id: '\.\./\.\./x' is not a job id"):
        client.job("../../x")
    with pytest.raises(InvalidArgument):
        await client.status("../../x")
    assert not server.calls


async def test_list_goes_through_all_pages(client: Client, server: Any) -> None:
    ids = [server.add() for _ in range(7)]
    assert [status.id async for status in client.list(page_size=3)] == ids[::-1]
    assert [query.page_token for query in server.list_queries] == ["", "3", "6"]


async def test_list_filters_travel(client: Client, server: Any) -> None:
    server.add()
    _ = [status async for status in client.list(states=[JobState.LOST], labels={"a": "b"}, id_prefix="01", name="n")]
    (query,) = server.list_queries
    assert (query.states, query.labels, query.id_prefix, query.name) == (
        frozenset({JobState.LOST}),
        {"a": "b"},
        "01",
        "n",
    )


async def test_watch_tells_statuses_then_changes_and_ends(client: Client, server: Any) -> None:
    done, running = server.add(), server.add(state=JobState.RUNNING)
    told: list[tuple[str, JobState]] = []
    async with aclosing(client.watch([done, running])) as statuses:
        async for status in statuses:
            told.append((status.id, status.state))
            if len(told) == 2:
                server.finish(running)
    assert told == [(done, JobState.EXITED), (running, JobState.RUNNING), (running, JobState.EXITED)]


async def test_watch_goes_on_after_a_break_without_telling_anything_twice(client: Client, server: Any) -> None:
    done = server.add()
    server.cuts = [0, 0]
    assert [status.id async for status in client.watch([done])] == [done]
    assert server.calls["Watch"] == 3


async def test_a_server_that_does_not_answer_in_time_is_given_up(server: Any, alice: Any) -> None:
    server.is_mute = True
    async with Client(f"127.0.0.1:{server.port}", **alice, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded, match="Status: no answer in time"):
            await client.status(server.add())


async def test_connecting_takes_no_longer_than_the_timeout(alice: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with Client(f"127.0.0.1:{silent.getsockname()[1]}", **alice, timeout=0.1) as client, asyncio.timeout(5):
            with pytest.raises(Unavailable, match=r"no connection within 0\.1 s"):
                await client.connect()


@pytest.mark.parametrize("name", ["status", "remove"])
async def test_no_call_takes_longer_than_its_timeout_though_all_wait_for_one_connection(
    server: Any, alice: Any, name: str
) -> None:
    job_id = server.add()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with Client(f"127.0.0.1:{silent.getsockname()[1]}", **alice, timeout=0.3) as client:
            began = time.monotonic()
            errors = await asyncio.gather(*(getattr(client, name)(job_id) for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in errors] == [DeadlineExceeded] * 5
    assert "no connection within 0.3 s" in str(errors[0])
    assert time.monotonic() - began < 1.5


async def test_pauses_leave_time_for_an_attempt_before_the_timeout(server: Any, alice: Any) -> None:
    job_id = server.add()
    server.fail_with = [Unavailable("draining")] * 1_000
    patience = Patience(first_delay=1.2, max_delay=60.0)
    async with Client(f"127.0.0.1:{server.port}", **alice, timeout=3.0, patience=patience) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"draining \(tried for 3 s\)"):
            await client.status(job_id)
    assert 1.8 <= time.monotonic() - began < 3.0


async def test_a_time_limit_around_a_call_still_works_after_a_break(client: Client, server: Any) -> None:
    job = client.job(server.add(state=JobState.RUNNING))
    server.lost_replies = 1

    async def wait_until_it_was_asked_twice() -> None:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            group.create_task(expire(limit))
            await job.wait()

    async def expire(limit: asyncio.Timeout) -> None:
        await server.called("Wait", 2)
        limit.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        await wait_until_it_was_asked_twice()


async def test_a_closed_client_says_so_at_once(client: Client, server: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x"))
    await client.status(job_id)
    await client.aclose()
    with pytest.raises(Unavailable, match="this client is closed"):
        await client.status(job_id)


async def test_a_client_of_another_event_loop_says_so_at_once(client: Client, server: Any) -> None:
    job_id = server.add()
    await client.status(job_id)
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(client.wait(job_id)))


async def test_closing_ends_what_is_under_way(client: Client, server: Any) -> None:
    waiting = asyncio.create_task(client.wait(server.add(state=JobState.RUNNING)))
    await server.called("Wait", 1)
    await client.aclose()
    with pytest.raises(Unavailable):
        await waiting


async def test_closing_ends_calls_that_are_still_to_be_connected(server: Any, alice: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"127.0.0.1:{silent.getsockname()[1]}", **alice)
        calls = [asyncio.create_task(client.wait(server.add())) for _ in range(3)]
        await asyncio.sleep(0.05)
        await client.aclose()
        async with asyncio.timeout(5):
            errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [Unavailable] * 3


async def test_closing_ends_calls_that_pause_after_a_break(server: Any, alice: Any) -> None:
    job_id = server.add()
    server.fail_with = [Unavailable("draining")] * 1_000
    pausing = asyncio.Event()
    patience = Patience(first_delay=60.0, max_delay=60.0)
    async with Client(f"127.0.0.1:{server.port}", **alice, patience=patience) as client:
        call = asyncio.create_task(client.wait(job_id, on_break=lambda _error, _pause: pausing.set()))
        await pausing.wait()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="this client is closed"):
            await call


async def test_more_calls_than_a_connection_takes_go_on_over_a_break(client: Client, server: Any) -> None:
    job_id = server.add(state=JobState.RUNNING)
    await client.status(job_id)
    calls = [asyncio.create_task(client.wait(job_id)) for _ in range(110)]  # grpclib's server takes 100 at a time
    await server.called("Wait", 100)
    server.lost_replies = 1
    server.finish(job_id)
    async with asyncio.timeout(10):
        assert {status.state for status in await asyncio.gather(*calls)} == {JobState.EXITED}


async def test_text_that_is_not_unicode_is_refused_with_the_name_of_its_field(client: Client, server: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^args: .* is not valid text"):
        await client.start("cat", ["caf\udce9"])
    assert not server.calls
