from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gproc.model import Chunk, Gap, Stream
from gproc.testing.faults.pattern import Piece, Reading, Writer, judge, locate, pattern

NOW = datetime.now(UTC)


def piece(position: int, length: int, *, claimed: int | None = None) -> Piece:
    return Piece(position if claimed is None else claimed, length, position)


def test_a_writer_writes_the_pattern_and_says_how_much_and_how_often(tmp_path: Path) -> None:
    writer = Writer(total=200_003, side=tmp_path / "side", code=7)
    done = subprocess.run([writer.command, *writer.args], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (7, pattern(0, 200_003))
    assert (writer.runs(), writer.counted(), writer.written()) == (1, [200_003], 200_003)
    assert 0 < writer.longest_write() < 10


def test_a_writer_that_never_ran_says_so(tmp_path: Path) -> None:
    writer = Writer(total=8, side=tmp_path / "side")
    assert (writer.runs(), writer.counted(), writer.written(), writer.longest_write()) == (0, [], 0, 0.0)


@given(st.integers(0, 1 << 24), st.integers(15, 200_000))
def test_any_stretch_of_the_pattern_says_where_it_is_from(offset: int, length: int) -> None:
    stretch = pattern(offset, length)
    assert len(stretch) == length
    assert locate(stretch, offset) == offset
    assert locate(stretch, offset + 8) == offset


def test_bytes_from_elsewhere_have_no_place() -> None:
    assert locate(b"x" * 100, 0) is None
    flipped = bytearray(pattern(4096, 100))
    flipped[50] ^= 1
    assert locate(flipped, 4096) is None


def test_a_whole_stream_in_order_is_identical() -> None:
    verdict = judge([piece(0, 10), piece(10, 5), piece(15, 85)], written=100)
    assert verdict.is_identical
    assert (verdict.received, str(verdict)) == (100, "identical")


def test_a_missing_middle_and_a_missing_end_are_lost() -> None:
    assert judge([piece(0, 10), piece(20, 70)], written=100).lost == 20
    assert judge([], written=100).lost == 100


def test_bytes_that_come_again_are_duplicated() -> None:
    verdict = judge([piece(0, 60), piece(40, 60)], written=100)
    assert (verdict.duplicated, verdict.lost, verdict.is_identical) == (20, 0, False)


def test_bytes_that_come_late_are_reordered_not_lost() -> None:
    verdict = judge([piece(0, 10), piece(50, 50), piece(10, 40)], written=100)
    assert (verdict.reordered, verdict.lost, verdict.duplicated) == (40, 0, 0)


def test_bytes_that_come_late_and_twice_are_each_counted_once() -> None:
    verdict = judge([piece(0, 10), piece(50, 50), piece(0, 60)], written=100)
    assert (verdict.reordered, verdict.duplicated, verdict.lost) == (40, 20, 0)


def test_bytes_under_a_wrong_offset_are_damaged() -> None:
    assert judge([piece(0, 100, claimed=8)], written=100).damaged == 100
    assert judge([Piece(0, 100, None)], written=100).damaged == 100


def test_a_gap_accounts_for_what_it_covers_and_no_more() -> None:
    verdict = judge([piece(0, 10), Piece(10, 40, 10, is_gap=True), piece(60, 40)], written=100)
    assert (verdict.dropped, verdict.lost, str(verdict)) == (40, 10, "10 lost, 40 dropped")


def test_more_than_was_written_is_invented() -> None:
    assert judge([piece(0, 100)], written=90).invented == 10


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.randoms())
def test_whatever_the_order_every_byte_is_counted_once(lengths: list[int], chance: random.Random) -> None:
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    pieces = [piece(start, length) for start, length in zip(starts, lengths, strict=True)]
    shuffled = list(pieces)
    chance.shuffle(shuffled)
    verdict = judge(shuffled, written=sum(lengths))
    assert (verdict.lost, verdict.duplicated, verdict.invented) == (0, 0, 0)
    assert (verdict.reordered == 0) == (shuffled == pieces)


def test_a_reading_notes_chunks_and_gaps() -> None:
    reading = Reading()
    reading.take(Chunk(memoryview(pattern(0, 64)), Stream.STDOUT, 0, NOW))
    reading.take(Gap(64, 16))
    reading.take(Chunk(b"z" * 20, Stream.STDOUT, 80, NOW))
    assert reading.pieces == [Piece(0, 64, 0), Piece(64, 16, 64, is_gap=True), Piece(80, 20, None)]
