from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from pathlib import Path

import pytest

from gproc.cli.live.sink import Sink


async def test_a_slow_reader_gets_every_byte_and_the_loop_goes_on() -> None:
    reader, writer = os.pipe()
    data = os.urandom(3_000_000)
    received = bytearray()
    try:
        with Sink(writer) as sink:
            writing = asyncio.ensure_future(sink.write(data))
            while len(received) < len(data):
                await asyncio.sleep(0)
                received += os.read(reader, 100_000)
            await asyncio.wait_for(writing, 5)
        assert bytes(received) == data
        assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    finally:
        os.close(reader)
        os.close(writer)


async def test_what_several_write_at_once_comes_whole_one_after_the_other() -> None:
    reader, writer = os.pipe()
    received = bytearray()
    try:
        with Sink(writer) as sink:
            writing = [asyncio.ensure_future(sink.write(letter * 2_000_000)) for letter in (b"a", b"b", b"c")]
            while len(received) < 6_000_000:
                await asyncio.sleep(0)
                received += os.read(reader, 100_000)
            await asyncio.wait_for(asyncio.gather(*writing), 5)
        assert received == b"a" * 2_000_000 + b"b" * 2_000_000 + b"c" * 2_000_000
    finally:
        os.close(reader)
        os.close(writer)


async def test_writing_can_be_cancelled_while_nobody_reads() -> None:
    reader, writer = os.pipe()
    try:
        with Sink(writer) as sink, pytest.raises(TimeoutError):
            await asyncio.wait_for(sink.write(bytes(5_000_000)), 0.05)
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_socket_that_nobody_reads_holds_up_the_loop_as_little_as_a_pipe() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Sink(ours.fileno()) as sink, pytest.raises(TimeoutError):
            await asyncio.wait_for(sink.write(bytes(5_000_000)), 0.05)
        assert ours.getblocking()
        theirs.close()
        with Sink(ours.fileno()) as sink, pytest.raises(BrokenPipeError):
            await sink.write(b"x")


async def test_a_reader_that_left_is_a_broken_pipe() -> None:
    reader, writer = os.pipe()
    try:
        with Sink(writer) as sink:
            os.close(reader)
            with pytest.raises(BrokenPipeError):
                await sink.write(b"x")
    finally:
        os.close(writer)


async def test_a_file_is_written_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before ")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        with Sink(fd) as sink:
            await sink.write(memoryview(b"after"))
    finally:
        os.close(fd)
    assert path.read_bytes() == b"before after"
