from __future__ import annotations

from datetime import UTC, datetime

from gproc.cli.live.lines import LineSplitter
from gproc.cli.live.transform import Safe, Stamped, as_it_is
from gproc.model import Chunk, Stream

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
STAMP = b"2026-07-01T12:00:00.000000Z "


def chunk(data: bytes) -> Chunk:
    return Chunk(data, Stream.STDOUT, 0, NOON)


def test_i1_in_a_pipe_bytes_stay_as_they_are() -> None:
    data = memoryview(bytes(range(256)))
    assert as_it_is(Chunk(data, Stream.STDOUT, 0, NOON)) is data
    assert as_it_is(None) == b""


def test_a_terminal_is_left_without_a_colour() -> None:
    safe = Safe()
    assert safe(chunk(b"\x1b[31mred")) == b"\x1b[31mred"
    assert safe(None) == b"\x1b[0m"


def test_a_terminal_is_not_reset_for_nothing() -> None:
    safe = Safe()
    assert safe(chunk(b"\x1b")) == b""
    assert safe(None) == b"\\x1b"


def test_each_line_is_stamped_once_however_it_arrives() -> None:
    stamped = Stamped(as_it_is)
    assert stamped(chunk(b"one\ntw")) == STAMP + b"one\n" + STAMP + b"tw"
    assert stamped(chunk(b"o\n")) == b"o\n"
    assert stamped(chunk(b"\nthree")) == STAMP + b"\n" + STAMP + b"three"
    assert stamped(chunk(b"")) == b""
    assert stamped(None) == b""


def test_lines_are_complete_or_held() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.feed(memoryview(b"o\n\n")) == [b"two", b""]
    assert splitter.rest() == []
    assert splitter.feed(b"end") == []
    assert splitter.rest() == [b"end"]
    assert splitter.rest() == []


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"x" * 70_000) == [b"x" * 70_000]
