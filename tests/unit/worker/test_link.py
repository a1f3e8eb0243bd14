from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gproc.errors import CommandNotFound, Unavailable
from gproc.model import JobState, JobStatus
from gproc.model.document import status_to_document
from gproc.store.writer import Extent
from gproc.worker.link import ShimLink
from gproc.worker.protocol import VERSION, encode, failure

RUNNING = JobStatus(id="job", owner="alice", state=JobState.RUNNING, command="true", pid=1)


class FakeShim:
    """The other end of a link: says what it is told to say."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.heard = asyncio.Event()
        self.link: ShimLink

    async def say(self, *messages: dict[str, Any]) -> None:
        self.heard.clear()
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(map(encode, messages)))
        async with asyncio.timeout(5):
            await self.heard.wait()

    async def greet(self, *, version: int = VERSION, job: str = "job", nonce: str = "secret") -> None:
        await self.say(
            {"hello": {"version": version, "job": job, "nonce": nonce, "pid": 1, "new in version 2": True}},
            {"output": [10, 8]},
            {"status": status_to_document(RUNNING)},
            {"message of the future": 1},
        )

    async def asked(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            message: dict[str, Any] = json.loads(await asyncio.get_running_loop().sock_recv(self.sock, 65536))
        return message

    def changed(self, _link: ShimLink) -> None:
        self.heard.set()


@pytest.fixture
async def shim() -> AsyncIterator[FakeShim]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    shim = FakeShim(theirs)
    shim.link = await ShimLink.over(ours, job_id="job", nonce="secret", changed=shim.changed)
    yield shim
    shim.link.close()
    theirs.close()


async def test_a_shim_that_proves_who_it_is_is_believed(shim: FakeShim) -> None:
    await shim.greet()
    await shim.link.settled(5)
    assert (shim.link.status, shim.link.extent) == (RUNNING, Extent(10, 8))


@pytest.mark.parametrize(("version", "believed"), [(VERSION, True), (VERSION + 1, True), (VERSION + 2, False)])
async def test_e10_a_shim_may_be_newer_by_one_version(shim: FakeShim, version: int, believed: bool) -> None:
    await shim.greet(version=version)
    await shim.link.settled(5)
    assert (shim.link.status is not None, shim.link.is_down) == (believed, not believed)


@pytest.mark.parametrize("claim", [{"job": "another"}, {"nonce": "guess"}])
async def test_b7_a_shim_that_cannot_prove_who_it_is_is_not_believed(shim: FakeShim, claim: dict[str, str]) -> None:
    await shim.greet(**claim)  # type: ignore[arg-type]  # by name
    await shim.link.settled(5)
    assert shim.link.is_down
    assert shim.link.status is None


async def test_b7_who_does_not_say_who_it_is_is_not_believed(shim: FakeShim) -> None:
    await shim.say({"status": status_to_document(RUNNING)})
    await shim.link.settled(5)
    assert (shim.link.is_down, shim.link.status) == (True, None)


async def test_a1_a_shim_may_say_that_the_program_was_not_executed(shim: FakeShim) -> None:
    document = json.loads(failure(CommandNotFound("x: command not found", errno.ENOENT), errno.ENOENT))
    await shim.say(document)
    await shim.link.settled(5)
    assert isinstance(shim.link.failure, CommandNotFound)


async def test_a_question_gets_its_own_answer(shim: FakeShim) -> None:
    await shim.greet()
    first = asyncio.ensure_future(shim.link.ask("signal", signal=1))
    one = await shim.asked()
    second = asyncio.ensure_future(shim.link.ask("signal", signal=2))
    two = await shim.asked()
    await shim.say(
        {"answer": two["seq"], "errno": 3, "message": "no such process"},
        {"answer": 999, "errno": 0, "message": "to nobody"},
        {"answer": one["seq"], "errno": 0, "message": ""},
    )
    assert (await first, await second) == ((0, ""), (3, "no such process"))
    assert (one["ask"], one["signal"], two["signal"]) == ("signal", 1, 2)


async def test_a_question_to_a_shim_that_hangs_up_is_answered_by_an_error(shim: FakeShim) -> None:
    await shim.greet()
    question = asyncio.ensure_future(shim.link.ask("stop"))
    await shim.asked()
    shim.sock.close()
    with pytest.raises(Unavailable, match="hung up"):
        await question
    with pytest.raises(Unavailable, match="cannot be reached"):
        await shim.link.ask("stop")


async def test_e5_a_shim_that_says_nothing_is_not_waited_for_beyond_the_limit(shim: FakeShim) -> None:
    with pytest.raises(TimeoutError):
        await shim.link.settled(0.01)


async def test_e9_a_socket_that_nobody_listens_on_is_no_shim(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(f"{tmp_path}/shim.sock")
    stale.close()
    with pytest.raises(ConnectionRefusedError):
        await ShimLink.to(tmp_path, job_id="job", nonce="secret", changed=lambda _: None)


async def test_e9_a_path_longer_than_a_socket_address_can_be_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["directory" * 10] * 3)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind("shim.sock")
        listener.listen()
        link = await ShimLink.to(deep, job_id="job", nonce="secret", changed=lambda _: None)
        link.close()
        await link.settled(5)
