from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from gproc.testing.faults import Line


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Line(f"127.0.0.1:{port}") as line:
        yield line
    server.close()
    await server.wait_closed()


async def connect(line: Line) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = line.addr.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_a_line_hands_on_what_comes_in_both_directions(line: Line) -> None:
    reader, writer = await connect(line)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.write_eof()
    assert await reader.read() == b""
    assert (line.accepted, line.carried) == (1, 10)
    writer.close()


async def test_a_cut_resets_those_that_are_open_and_lets_new_ones_in(line: Line) -> None:
    reader, writer = await connect(line)
    writer.write(b"hello")
    await reader.readexactly(5)
    assert line.cut() == 1
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    reader, writer = await connect(line)
    writer.write(b"again")
    assert await reader.readexactly(5) == b"again"
    writer.close()


async def test_nothing_moves_on_a_stalled_line_until_it_is_resumed(line: Line) -> None:
    reader, writer = await connect(line)
    line.stall()
    writer.write(b"hello")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.read(1)
    line.resume()
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_a_delayed_line_takes_its_time_in_each_direction(line: Line) -> None:
    reader, writer = await connect(line)
    line.delay(0.05)
    began = time.monotonic()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert time.monotonic() - began >= 0.1
    writer.close()


async def test_a_trickle_hands_on_so_many_bytes_a_second(line: Line) -> None:
    reader, writer = await connect(line)
    line.trickle(10_000)
    began = time.monotonic()
    writer.write(bytes(3000))
    assert await reader.readexactly(3000) == bytes(3000)
    assert time.monotonic() - began >= 0.3
    writer.close()


async def test_a_line_to_nowhere_resets_who_comes() -> None:
    async with Line("127.0.0.1:1") as line:
        reader, writer = await connect(line)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()


async def test_a_line_that_is_not_open_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        _ = Line("127.0.0.1:1").addr


ON_UVLOOP = """
import asyncio, uvloop
from contextlib import suppress
from gproc.testing.faults import Line
from gproc.testing.faults.line import _reset

async def reset_by_the_server(line):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(line.addr.rpartition(":")[2]))
    writer.write(b"x")
    with suppress(OSError):
        await reader.read()
    writer.close()

async def cut(line):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(line.addr.rpartition(":")[2]))
    while not line.cut():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)

async def serve(reader, writer):
    if await reader.read(1):
        _reset(writer)

async def main():
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Line(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as line:
        await reset_by_the_server(line)
        await cut(line)
    assert not faults, faults

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


def test_a_line_can_be_cut_and_reset_on_uvloop_to_which_a_closed_socket_is_none() -> None:
    pytest.importorskip("uvloop")
    # In a process of its own: the library of uvloop keeps two descriptors for ever.
    done = subprocess.run([sys.executable, "-c", ON_UVLOOP], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
