"""Crowds at the door of a real server: whoever is honest gets in all the same."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gproc.client import Client, Patience
from gproc.errors import QuotaExceeded
from gproc.model import JobState
from gproc.testing.faults import ServerProcess

CONFIG = """
[quotas]
running_jobs = 3
followers = 4
connections = 5
output_bytes = "1MiB"
"""
HANDSHAKE_SECONDS = 5.0
HALF_A_HELLO = bytes.fromhex("16030100f8010000f40303")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(tmp_path, config=CONFIG) as server:
        yield server


async def finishes(client: Client) -> float:
    """Start a job and see it end; return how many seconds that took."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        job = await client.start("true")
        assert (await job.wait()).state is JobState.EXITED
    return time.monotonic() - began


async def connected(server: ServerProcess, crowd: ExitStack, count: int, says: bytes = b"") -> None:
    """Open *count* connections that say this and nothing more; they stay until the *crowd* leaves."""
    host, _, port = server.addr.rpartition(":")
    loop = asyncio.get_running_loop()
    for _ in range(count):
        sock = crowd.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        await loop.sock_connect(sock, (socket.gethostbyname(host), int(port)))
        if says:
            await loop.sock_sendall(sock, says)


async def test_a9_a_thousand_starts_over_the_limit_are_refused_and_another_owner_is_served_meanwhile(
    server: ServerProcess,
) -> None:
    crowd = [server.client("alice", patience=Patience(total=60.0)) for _ in range(4)]
    bob = server.client("bob")
    await finishes(bob)
    starting = [asyncio.create_task(crowd[at % 4].start("sleep", ["1000"])) for at in range(1000)]
    served: list[float] = []
    while not all(start.done() for start in starting) or not served:
        served.append(await finishes(bob))
    ends = await asyncio.gather(*starting, return_exceptions=True)

    started = [end for end in ends if not isinstance(end, BaseException)]
    assert len(started) == 3
    assert {type(end) for end in ends if isinstance(end, BaseException)} == {QuotaExceeded}
    assert max(served) < 10
    for job in started:
        await job.stop(grace=0)
    assert await finishes(crowd[0]) < 10


async def test_f1_two_thousand_connections_and_256_descriptors_leave_the_server_alive_and_its_log_short(
    server: ServerProcess,
) -> None:
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (256, limits[1]))
    lines_before, began = len(server.log), time.monotonic()
    with ExitStack() as crowd:
        await connected(server, crowd, 2000)
        assert await finishes(server.client("alice")) < HANDSHAKE_SECONDS + 5
        seconds, lines = time.monotonic() - began, list(server.log)[lines_before:]
    assert await finishes(server.client("bob")) < HANDSHAKE_SECONDS + 1
    kinds = Counter(line.split()[2] for line in lines if " warning " in line or " error " in line)
    assert kinds
    assert max(kinds.values()) <= 1 + seconds, kinds


async def test_f2_those_who_never_finish_their_handshake_keep_out_an_honest_client_no_longer_than_a_handshake_may_take(
    server: ServerProcess,
) -> None:
    with ExitStack() as crowd:
        await connected(server, crowd, 500, HALF_A_HELLO)
        assert await finishes(server.client("alice")) < HANDSHAKE_SECONDS + 1


async def test_f3_an_owner_at_every_cap_does_not_affect_another(server: ServerProcess) -> None:
    alice = [server.client("alice") for _ in range(6)]
    talker, other = [await alice[0].start("sleep", ["1000"]) for _ in range(2)]
    writer = await alice[0].start("sh", ["-c", "head -c 1048576 /dev/zero; exec sleep 1000"])
    async with writer.output() as pieces:
        while pieces.offset < 1048576:
            await anext(pieces)
    waiting = [asyncio.create_task(alice[at].wait(talker.id)) for at in range(4)]
    await asyncio.gather(*(client.status(talker.id) for client in alice[:5]))
    try:
        for refused in (alice[0].start("true"), alice[0].wait(talker.id), alice[5].status(talker.id)):
            with pytest.raises(QuotaExceeded):
                await refused
        assert await finishes(server.client("bob")) < 5
    finally:
        for job in (talker, other, writer):
            await job.stop(grace=0)
        await asyncio.gather(*waiting)
    with pytest.raises(QuotaExceeded, match="bytes of output are kept"):
        await alice[0].start("true")
    assert await finishes(server.client("bob")) < 5
