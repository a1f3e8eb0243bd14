import os
from pathlib import Path

import pytest

from gproc.store.index import Kind
from gproc.store.writer import OutputWriter
from gproc.worker.shim.loop import Loop
from gproc.worker.shim.pump import Pace, Pump

START = 1000.0


def reads_without_rest(pace: Pace, *, every: float, count: int = 1000) -> int:
    for number in range(count):
        if pace.rest(START + number * every):
            return number
        pace.has_read(20)
    return count


def test_a_few_small_reads_at_once_are_free() -> None:
    assert reads_without_rest(Pace(), every=0.0) == 16


def test_lines_that_come_no_faster_than_one_in_two_milliseconds_never_wait() -> None:
    assert reads_without_rest(Pace(), every=0.0021) == 1000


def test_after_a_flood_a_pause_makes_small_reads_free_again() -> None:
    pace = Pace()
    reads_without_rest(pace, every=0.0)
    assert not pace.rest(START + 0.005)


def test_in_a_flood_there_is_one_read_in_two_milliseconds() -> None:
    pace, now, rests = Pace(), START, 0
    for _ in range(116):
        if rest := pace.rest(now):
            rests += 1
            now += rest
        pace.has_read(20)
    assert rests == 100


def test_large_reads_never_wait() -> None:
    pace = Pace()
    for _ in range(1000):
        assert not pace.rest(START)
        pace.has_read(1 << 20)


def test_where_a_pipe_fills_within_a_rest_the_rests_become_short() -> None:
    pace = Pace()
    reads_without_rest(pace, every=0.0)
    rests = []
    for _ in range(4):
        rests.append(pace.rest(START))
        pace.has_read(1 << 20)
    assert rests == [0.002, 0.0005, 0.000125, 0.00005]


def test_after_short_rests_a_flood_of_lines_has_long_ones_again() -> None:
    pace = Pace()
    reads_without_rest(pace, every=0.0)
    for count in (1 << 20, 1 << 20, 1 << 20, *[20] * 6):
        pace.has_read(count)
    assert pace.rest(START) == 0.002


def test_d12_output_is_brought_to_the_disk_behind_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its index nobody knows which stream it came from, nor where something is missing."""
    synced: list[int] = []
    monkeypatch.setattr("gproc.worker.shim.pump.os.fdatasync", synced.append)
    index, output = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("index", "output"))
    pump = Pump(Loop(), OutputWriter(output, index), files=(index, output))
    writer = pump.open_pipe(Kind.STDERR)
    os.write(writer, b"warning\n")
    os.close(writer)
    pump.drain()
    pump.sync()
    pump.close()
    assert synced == [index, output]
    for fd in synced:
        os.close(fd)
