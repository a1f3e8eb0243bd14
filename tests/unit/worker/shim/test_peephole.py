import fcntl
import os
import signal
import sys
import termios
from collections.abc import Iterator

import pytest

from gproc.worker.shim.peephole import Peephole

MIB = 1 << 20


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, MIB)
    yield reader, writer
    os.close(reader)


@pytest.fixture
def peephole() -> Iterator[Peephole]:
    peephole = Peephole(MIB)
    yield peephole
    peephole.close()


def waiting(pipe: int) -> int:
    """Return how many bytes are in *pipe*."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_what_was_looked_at_stays_in_the_pipe_until_it_is_taken(pipe: tuple[int, int], peephole: Peephole) -> None:
    reader, writer = pipe
    os.write(writer, b"as it was")
    assert bytes(peephole.look(reader)) == b"as it was"
    assert bytes(peephole.look(reader)) == b"as it was"
    assert waiting(reader) == 9
    peephole.take(reader, 9)
    assert waiting(reader) == 0
    os.close(writer)


def test_an_empty_pipe_says_so_and_its_end_is_no_bytes(pipe: tuple[int, int], peephole: Peephole) -> None:
    reader, writer = pipe
    with pytest.raises(BlockingIOError):
        peephole.look(reader)
    os.close(writer)
    assert bytes(peephole.look(reader)) == b""


def test_a_signal_that_comes_meanwhile_is_no_error(pipe: tuple[int, int], peephole: Peephole) -> None:
    heard = 0

    def hear(_number: int, _frame: object) -> None:
        nonlocal heard
        heard += 1

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.000_05, 0.000_05)
    try:
        while heard < 2000:
            with pytest.raises(BlockingIOError):
                peephole.look(pipe[0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    os.close(pipe[1])


def test_what_comes_between_look_and_take_is_neither_lost_nor_seen_twice(
    pipe: tuple[int, int], peephole: Peephole
) -> None:
    reader, writer = pipe
    os.write(writer, b"first")
    count = len(peephole.look(reader))
    os.write(writer, b", second")  # into the page that was looked at
    peephole.take(reader, count)
    assert bytes(peephole.look(reader)) == b", second"
    os.close(writer)


def test_every_byte_is_seen_once_and_in_order_whatever_the_sizes(pipe: tuple[int, int], peephole: Peephole) -> None:
    reader, writer = pipe
    sent = os.urandom(3 * MIB)
    seen, position, size = bytearray(), 0, 1
    while position < len(sent):
        position += os.write(writer, sent[position : position + size])
        size = size * 3 % 99_991 + 1
        if waiting(reader) > 300_000:
            seen += move(peephole, reader)
    os.close(writer)
    while data := move(peephole, reader):
        seen += data
    assert seen == sent


def test_packets_are_seen_once_and_in_order_too(peephole: Peephole) -> None:
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK | os.O_DIRECT)
    for number in range(5):
        os.write(writer, b"packet %d\n" % number)
    assert move(peephole, reader) == b"packet 0\npacket 1\npacket 2\npacket 3\npacket 4\n"
    os.write(writer, b"last")
    assert move(peephole, reader) == b"last"
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("is_open", [True, False])
def test_what_somebody_else_took_meanwhile_is_not_waited_for(
    pipe: tuple[int, int], peephole: Peephole, is_open: bool
) -> None:
    reader, writer = pipe
    os.write(writer, b"read back by the job itself")
    data = bytes(peephole.look(reader))
    os.read(reader, 10)
    if not is_open:
        os.close(writer)
    peephole.take(reader, len(data))
    assert waiting(reader) == 0
    if is_open:
        os.close(writer)


def test_longer_looks_come_when_there_is_much_to_see(pipe: tuple[int, int], peephole: Peephole) -> None:
    reader, writer = pipe
    os.write(writer, bytes(MIB))
    first = len(move(peephole, reader))
    assert first < 64 * 1024
    assert len(move(peephole, reader)) == MIB - first
    os.close(writer)


def move(peephole: Peephole, reader: int) -> bytes:
    data = bytes(peephole.look(reader))
    peephole.take(reader, len(data))
    return data
