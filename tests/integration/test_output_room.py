from __future__ import annotations

import asyncio
import sys
import tracemalloc
from contextlib import aclosing
from pathlib import Path

from gproc.model import Chunk, End, OutputRange, Stream
from gproc.store.reader import CHUNK_BYTES
from gproc.testing import embedded_server

FOLLOWERS = 60
PROGRAM = 'while [ ! -e "$1" ]; do sleep 0.05; done; head -c 4194304 /dev/zero; sleep 1000'
READERS = """
import asyncio, sys
from gproc import Client

async def read(client, job_id):
    total = 0
    async with client.output(job_id) as output:
        async for piece in output:
            total += len(piece.data)
            if total == 4194304:
                return

async def main(addr, cacert, cert, key, job_id, followers):
    async with Client(addr, cacert=cacert, cert=cert, key=key) as client:
        await asyncio.gather(*(read(client, job_id) for _ in range(int(followers))))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_no_more_output_is_read_than_the_reader_has_room_for() -> None:
    async with embedded_server() as server, asyncio.timeout(20):
        supervisor = server.server.supervisor
        job_id = await supervisor.start("printf", ["0123456789"])
        await supervisor.wait(job_id)
        asked = 0

        async def room() -> int:
            nonlocal asked
            asked += 1
            return 4

        async with aclosing(supervisor.output_events(job_id, OutputRange(), room=room)) as events:
            pieces = [bytes(event.data) async for event in events if isinstance(event, Chunk)]
        assert pieces == [b"0123", b"4567", b"89"]
        assert asked == 3


async def test_followers_who_are_all_woken_at_once_do_not_each_keep_a_chunk(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with embedded_server() as server, server.client("alice") as client, asyncio.timeout(40):
        job = await client.start("sh", ["-c", PROGRAM, "sh", str(go)])
        files = server.files("alice")
        # In another process, for a client takes up to 16 MiB for each reader, and only the server is looked at.
        arguments = (server.addr, str(files.cacert), str(files.cert), str(files.key), job.id, str(FOLLOWERS))
        readers = await asyncio.create_subprocess_exec(sys.executable, "-c", READERS, *arguments)
        while len(server.server._service.followers) < FOLLOWERS:  # noqa: ASYNC110 - another process joins
            await asyncio.sleep(0.01)
        tracemalloc.start()
        try:
            await asyncio.to_thread(go.touch)
            assert await readers.wait() == 0
            _, held = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < FOLLOWERS * CHUNK_BYTES // 2


async def test_a_job_that_ends_while_a_reader_waits_for_room_ends_for_that_reader_too() -> None:
    async with embedded_server() as server, asyncio.timeout(20):
        supervisor = server.server.supervisor
        job_id = await supervisor.start("sh", ["-c", "echo nothing for this reader; exec sleep 1000"])

        async def room() -> int:
            await supervisor.stop(job_id)
            return CHUNK_BYTES

        wanted = OutputRange(streams=frozenset({Stream.STDERR}))
        async with aclosing(supervisor.output_events(job_id, wanted, room=room)) as events:
            assert [type(event) async for event in events] == [End]


async def test_nothing_but_its_status_is_kept_of_a_job_that_ended_at_once() -> None:
    async with embedded_server() as server, asyncio.timeout(20):
        supervisor = server.server.supervisor
        ids = [await supervisor.start("true") for _ in range(20)]
        for job_id in ids:
            await supervisor.wait(job_id)
        assert [supervisor._registry.get(job_id, None).link for job_id in ids] == [None] * 20
