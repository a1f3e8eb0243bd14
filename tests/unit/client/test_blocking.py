from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import sys
import threading
import weakref
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import isfunction, signature
from types import FrameType
from typing import Any, TypeVar

import pytest
from gproc_support.waiting import soon

from gproc import client as waiting
from gproc.client import blocking
from gproc.errors import InvalidArgument, JobNotFound, Unavailable
from gproc.model import Chunk, JobPage, JobState, ListQuery, Stream

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    async with asyncio.timeout(20):
        return await asyncio.to_thread(work)


def connect(server: Any, alice: Any) -> blocking.Client:
    return blocking.Client(f"127.0.0.1:{server.port}", **alice)


async def test_a_script_starts_reads_and_waits(server: Any, alice: Any) -> None:
    def script() -> tuple[bytes, JobState]:
        with connect(server, alice) as client:
            job = client.start("echo", ["hello"])
            client.signal(job.id, "HUP")
            loop.call_soon_threadsafe(server.finish, job.id)
            data = b"".join(bytes(piece.data) for piece in job.output() if isinstance(piece, Chunk))
            return data, job.wait().state

    loop = asyncio.get_running_loop()
    assert await in_thread(script) == (b"hello\n", JobState.EXITED)


async def test_output_is_mended_as_ever(server: Any, alice: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x" * 10_000))
    server.cuts = [3_000]

    def script() -> tuple[int, int, int]:
        with connect(server, alice) as client, client.job(job_id).output() as output:
            size = sum(len(piece.data) for piece in output if isinstance(piece, Chunk))
            return size, output.breaks, output.offset

    assert await in_thread(script) == (10_000, 1, 10_000)


async def test_who_wants_to_know_is_told_of_a_break(server: Any, alice: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x" * 10_000))
    server.cuts = [3_000]
    told: list[type[Exception]] = []

    def script() -> None:
        with connect(server, alice) as client, client.output(job_id) as output:
            assert output.on_break is None
            output.on_break = lambda error, _pause: told.append(type(error))
            assert sum(len(piece.data) for piece in output if isinstance(piece, Chunk)) == 10_000

    await in_thread(script)
    assert told == [Unavailable]


def test_an_error_is_gone_with_the_last_who_holds_it(alice: Any) -> None:
    def failure(client: blocking.Client) -> weakref.ref[Exception]:
        try:
            client.status("no id")
        except InvalidArgument as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        with blocking.Client("localhost:1", **alice) as client:
            error = failure(client)
        assert error() is None
    finally:
        gc.enable()


async def test_a_program_ends_though_a_generator_still_has_a_client_and_its_output(server: Any, alice: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x"))
    files = {setting: str(path) for setting, path in alice.items()}
    program = f"""if True:
        from gproc.client import blocking
        def pieces():
            with blocking.Client("127.0.0.1:{server.port}", **{files}) as client, client.output("{job_id}") as output:
                yield next(output)
        left = pieces()
        print(bytes(next(left).data))
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(10):
            assert await process.communicate() == (b"b'x'\n", b"")
    finally:
        with suppress(ProcessLookupError):
            process.kill()


async def test_ids_to_watch_may_come_from_the_list_of_the_same_client(server: Any, alice: Any) -> None:
    ids = {server.add() for _ in range(3)}

    def script() -> set[str]:
        with connect(server, alice) as client:
            return {status.id for status in client.watch(status.id for status in client.list())}

    assert await in_thread(script) == ids


async def test_who_is_told_of_a_break_cannot_wait_for_the_client_that_tells_it(server: Any, alice: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x" * 10_000))
    server.cuts = [3_000]

    def script() -> None:
        with connect(server, alice) as client, client.output(job_id) as output:
            output.on_break = lambda _error, _pause: client.status(job_id)
            with pytest.raises(RuntimeError, match="whoever is told of a break cannot use the client"):
                list(output)

    await in_thread(script)


@pytest.mark.parametrize("name", ["Client", "Job", "Output"])
def test_it_has_the_same_face_as_the_one_for_asyncio(name: str) -> None:
    theirs, ours = (
        {word for word in dir(getattr(module, name)) if not word.startswith("_")} for module in (waiting, blocking)
    )
    assert theirs - {"aclose"} <= ours


@pytest.mark.parametrize("name", ["Client", "Job"])
def test_its_methods_tell_what_they_can_be_given(name: str) -> None:
    theirs, ours = getattr(waiting, name), getattr(blocking, name)
    for word, method in vars(ours).items():
        if isfunction(method) and not word.startswith("_") and word != "close":
            assert [*signature(method).parameters] == [*signature(getattr(theirs, word)).parameters], word


async def test_lists_and_watches_are_ordinary_iterators(server: Any, alice: Any) -> None:
    ids = [server.add() for _ in range(3)]

    def script() -> tuple[list[str], list[str]]:
        with connect(server, alice) as client:
            return [status.id for status in client.list(page_size=2)], [status.id for status in client.watch(ids)]

    assert await in_thread(script) == (ids[::-1], ids)


async def test_every_other_method_is_there_too(server: Any, alice: Any) -> None:
    job_id = server.add(state=JobState.RUNNING)

    def script() -> None:
        with connect(server, alice) as client:
            asked = [client.may_have_asked]
            client.connect()
            job = client.job(job_id)
            assert job.refresh() == job.status == client.status(job_id)
            assert job.signal("HUP").id == job_id
            assert job.stop().state is JobState.STOPPED
            assert client.wait(job_id) == client.stop(job_id)
            assert client.page(ListQuery(page_size=1)) == JobPage((client.status(job_id),))
            assert [*asked, client.may_have_asked] == [False, True]
            assert repr(job) == f"<Job {job_id} stopped>"
            job.remove()
            with pytest.raises(JobNotFound):
                client.remove(job_id)

    await in_thread(script)


async def test_closing_ends_the_thread(server: Any, alice: Any) -> None:
    def script() -> blocking.Client:
        with connect(server, alice) as client:
            client.connect()
            assert "gproc-client" in [thread.name for thread in threading.enumerate()]
        client.close()
        return client

    client = await in_thread(script)
    assert "gproc-client" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(Unavailable, match="this client is closed"):
        client.connect()


async def test_a_client_that_never_called_needs_no_thread(server: Any, alice: Any) -> None:
    with connect(server, alice) as client:
        assert client.address == f"127.0.0.1:{server.port}"
    assert "gproc-client" not in [thread.name for thread in threading.enumerate()]


async def test_what_still_waits_when_the_client_is_closed_says_so(server: Any, alice: Any) -> None:
    job_id = server.add(state=JobState.RUNNING)
    server.fail_with = [Unavailable("draining")] * 100
    pausing = threading.Semaphore(0)

    def script() -> list[Unavailable]:
        client = blocking.Client(
            f"127.0.0.1:{server.port}", **alice, patience=waiting.Patience(first_delay=5.0, attempts=100)
        )
        errors: list[Unavailable] = []

        def wait() -> None:
            try:
                client.wait(job_id, on_break=lambda _error, _pause: pausing.release())
            except Unavailable as error:
                errors.append(error)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert pausing.acquire(timeout=5)
        client.close()
        for thread in threads:
            thread.join()
        return errors

    assert ["closed" in str(error) for error in await in_thread(script)] == [True] * 3


async def test_an_iterator_is_closed_though_it_still_waits_for_an_item(server: Any, alice: Any) -> None:
    job_id = server.add(state=JobState.RUNNING)

    def script() -> list[Unavailable]:
        errors: list[Unavailable] = []
        with connect(server, alice) as client, client.output(job_id) as output:

            def read() -> None:
                try:
                    next(output)
                except Unavailable as error:
                    errors.append(error)

            thread = threading.Thread(target=read)
            thread.start()
            asyncio.run_coroutine_threadsafe(server.called("GetOutput", 1), loop).result()
            output.close()
            thread.join()
        return errors

    loop = asyncio.get_running_loop()
    assert [type(error) for error in await in_thread(script)] == [Unavailable]
    await asyncio.wait_for(server.streams_left.wait(), 5)


async def test_an_iterator_may_be_closed_after_its_client(server: Any, alice: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x"), state=JobState.RUNNING)

    def script() -> None:
        with connect(server, alice) as client:
            output = client.output(job_id)
            next(output)
        output.close()

    await in_thread(script)


async def test_who_forgets_to_close_a_client_is_warned_and_its_connection_closed(server: Any, alice: Any) -> None:
    def script() -> None:
        client: Any = connect(server, alice)
        client.connect()
        loop, protocol = client._loop, client._client._connection._channel._protocol
        with pytest.warns(ResourceWarning, match="unclosed client"):
            del client
        loop.run(protocol.gone.wait)
        loop.close(lambda: asyncio.sleep(0))

    await in_thread(script)


NOBODY = "localhost:1"
QUICKLY = waiting.Patience(attempts=1)
STEPS_INTO_CALLBACKS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@STEPS_INTO_CALLBACKS
def test_a_client_is_of_use_at_once_wherever_a_call_was_interrupted(alice: Any) -> None:
    for step in itertools.count():
        with blocking.Client(NOBODY, **alice, patience=QUICKLY) as client:
            assert fails_soon(client.connect)
            was_interrupted = interrupt(client.connect, step)
            assert fails_soon(client.connect)
        if not was_interrupted:
            break
    assert step > 10


@STEPS_INTO_CALLBACKS
async def test_output_can_be_read_to_its_end_wherever_it_was_interrupted(server: Any, alice: Any) -> None:
    job_id = server.add((Stream.STDOUT, b"x"))

    def script() -> None:
        with connect(server, alice) as client:
            client.connect()
            for step in itertools.count():
                with client.output(job_id) as output:
                    was_interrupted = interrupt(partial(next, output), step)
                    list(output)
                    assert output.end is not None
                if not was_interrupted:
                    break
            assert step > 10

    await in_thread(script)


@STEPS_INTO_CALLBACKS
def test_a_close_ends_the_thread_wherever_one_before_was_interrupted(alice: Any) -> None:
    for step in itertools.count():
        client = blocking.Client(NOBODY, **alice, patience=QUICKLY)
        assert fails_soon(client.connect)
        was_interrupted = interrupt(client.close, step)
        client.close()
        # Of a thread for which somebody was interrupted as he waited, `is_alive` of Python 3.11 says that it is over.
        soon(lambda: "gproc-client" not in [each.name for each in threading.enumerate()])
        if not was_interrupted:
            break
    assert step > 10


def interrupt(work: Callable[[], None], step: int) -> bool:
    """Do *work*, with KeyboardInterrupt at one of the steps where Python looks for signals; return whether it came."""
    steps = itertools.count()
    was_interrupted = False

    def look(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal was_interrupted
        if event in {"call", "c_return"} and next(steps) == step:
            was_interrupted = True
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    except (KeyboardInterrupt, Unavailable):
        pass
    finally:
        sys.setprofile(before)
    return was_interrupted


def fails_soon(connect: Callable[[], None]) -> bool:
    errors: list[Unavailable] = []

    def call() -> None:
        try:
            connect()
        except Unavailable as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(5)
    return errors != []


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # that is what this is about
def test_a_forked_process_is_told_that_the_client_is_not_its_own(alice: Any) -> None:
    client = blocking.Client(NOBODY, **alice, patience=QUICKLY)
    assert fails_soon(client.connect)

    def use() -> None:
        with client, pytest.raises(RuntimeError, match="belongs to another process"):
            client.connect()

    child = multiprocessing.get_context("fork").Process(target=use)
    child.start()
    child.join(5)
    assert child.exitcode == 0
    assert fails_soon(client.connect)
    client.close()
