"""Output that encodes its own position, those who read it, and a judge.

`Writer` is a job whose output consists of 8-byte words that count up, so every stretch of it says where it belongs.
It notes beside it how often it ran and how much it wrote. `read_output` records what a reader got; `judge` is pure,
and says what was lost, duplicated, reordered or damaged on the way: nothing, if it `is_identical`.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from gproc.model import Chunk, Gap

__all__ = ["Piece", "Reading", "Verdict", "Writer", "judge", "locate", "pattern", "read_output"]

_WORD = 8
_BLOCK = 64 * 1024
_PROGRESS = struct.Struct("<QQ")

_SCRIPT = """
import os, struct, sys, time
from array import array
from signal import SIG_BLOCK, SIG_UNBLOCK, SIGTERM, pthread_sigmask
total, block, pause, side, code = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], int(sys.argv[5])
log = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
progress = os.open(side + '.progress', os.O_RDWR | os.O_CREAT, 0o600)
os.write(log, b'run\\n')
words = block // 8
def number(values):
    row = array('Q', values)
    if sys.byteorder == 'big':
        row.byteswap()
    return int.from_bytes(row.tobytes(), 'little')
first, ones = number(range(words)), number([1] * words)
done = longest = 0
pthread_sigmask(SIG_BLOCK, [SIGTERM])
while done < total:
    data = memoryview((first + ones * (done // 8)).to_bytes(block, 'little'))[:total - done]
    while data:
        began = time.monotonic_ns()
        count = os.write(1, data)
        longest = max(longest, time.monotonic_ns() - began)
        done += count
        data = data[count:]
        os.pwrite(progress, struct.pack('<QQ', done, longest), 0)
    pthread_sigmask(SIG_UNBLOCK, [SIGTERM])
    if pause:
        time.sleep(pause)
    pthread_sigmask(SIG_BLOCK, [SIGTERM])
os.write(log, b'wrote %d\\n' % done)
sys.exit(code)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A job that writes `total` bytes of the pattern, `block` at a time with a pause between, and exits with `code`.

    SIGTERM ends it between two blocks only, so that what it noted is what it wrote.
    """

    total: int
    side: Path
    """Where it notes what it does; beside it ``SIDE.progress``."""
    block: int = _BLOCK
    """A multiple of 8."""
    pause: float = 0.0
    code: int = 0

    @property
    def command(self) -> str:
        """The program to start."""
        return sys.executable

    @property
    def args(self) -> list[str]:
        """Its arguments."""
        numbers = (self.total, self.block, self.pause, self.side, self.code)
        return ["-I", "-S", "-c", _SCRIPT, *map(str, numbers)]

    def runs(self) -> int:
        """Return how often it was executed."""
        return self._lines().count("run")

    def counted(self) -> list[int]:
        """Return what each run that came to its end says it wrote."""
        return [int(line.removeprefix("wrote ")) for line in self._lines() if line.startswith("wrote ")]

    def written(self) -> int:
        """Return how many bytes it had written when it last looked."""
        return self._progress()[0]

    def longest_write(self) -> float:
        """Return the longest time that one write(2) took, in seconds."""
        return self._progress()[1] / 1e9

    def _lines(self) -> list[str]:
        return self.side.read_text(encoding="ascii").splitlines() if self.side.exists() else []

    def _progress(self) -> tuple[int, int]:
        path = self.side.with_name(self.side.name + ".progress")
        data = path.read_bytes() if path.exists() else b""
        done, longest = _PROGRESS.unpack(data) if len(data) == _PROGRESS.size else (0, 0)
        return done, longest


@dataclass(frozen=True, slots=True)
class Piece:
    """What a reader got at one time: `length` bytes that are said to begin at `offset`."""

    offset: int
    length: int
    position: int | None
    """Where these bytes belong, as they themselves say; None: they are nothing that the job wrote."""
    is_gap: bool = False
    """No bytes: the server says that so many were dropped."""


@dataclass(slots=True)
class Reading:
    """What one reader got, in order of arrival."""

    pieces: list[Piece] = field(default_factory=list)
    digest: int = 0
    """CRC-32 of all bytes: equal readings have equal ones."""

    def take(self, event: Chunk | Gap) -> None:
        """Note one event."""
        if isinstance(event, Gap):
            self.pieces.append(Piece(event.offset, event.bytes, event.offset, is_gap=True))
            return
        self.digest = zlib.crc32(event.data, self.digest)
        self.pieces.append(Piece(event.offset, len(event.data), locate(event.data, event.offset)))


async def read_output(events: AsyncIterator[Chunk | Gap], reading: Reading | None = None) -> Reading:
    """Read *events* to the end; return what came, noted in *reading* as it came if one is given."""
    reading = Reading() if reading is None else reading
    async for event in events:
        reading.take(event)
    return reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the bytes on their way, each counted once."""

    received: int
    lost: int
    duplicated: int
    reordered: int
    """Came after bytes that belong behind them."""
    damaged: int
    """Are nothing that the job wrote, or were said to be from elsewhere."""
    invented: int
    """Came though the job never wrote so much."""
    dropped: int
    """Told as gaps."""

    @property
    def is_identical(self) -> bool:
        """Whether the reader got exactly what was written, but for gaps it was told of."""
        return not (self.lost or self.duplicated or self.reordered or self.damaged or self.invented)

    def __str__(self) -> str:
        parts = (
            f"{getattr(self, name)} {name}"
            for name in ("lost", "duplicated", "reordered", "damaged", "invented", "dropped")
            if getattr(self, name)
        )
        return ", ".join(parts) or "identical"


def judge(pieces: Iterable[Piece], *, written: int, start: int = 0) -> Verdict:
    """Judge what a reader got that began at *start*, of a job that wrote *written* bytes."""
    received = duplicated = reordered = damaged = dropped = 0
    reach = start
    holes: list[tuple[int, int]] = []
    for piece in pieces:
        place = piece.offset if piece.position is None else piece.position
        if piece.is_gap:
            dropped += piece.length
        else:
            received += piece.length
            damaged += piece.length if piece.position != piece.offset else 0
        if place > reach:
            holes.append((reach, place))
        behind = max(0, min(reach, place + piece.length) - place)
        late, holes = _fill(holes, place, place + behind) if behind else (0, holes)
        reordered += late
        duplicated += behind - late
        reach = max(reach, place + piece.length)
    lost = sum(end - begin for begin, end in holes) + max(0, written - reach)
    return Verdict(
        received=received,
        lost=lost,
        duplicated=duplicated,
        reordered=reordered,
        damaged=damaged,
        invented=max(0, reach - written),
        dropped=dropped,
    )


def _fill(holes: Sequence[tuple[int, int]], begin: int, end: int) -> tuple[int, list[tuple[int, int]]]:
    """Return how much of the holes lies in ``[begin, end)``, and what is left of them."""
    filled, left = 0, []
    for low, high in holes:
        inner_low, inner_high = max(low, begin), min(high, end)
        if inner_low >= inner_high:
            left.append((low, high))
            continue
        filled += inner_high - inner_low
        left.extend(hole for hole in ((low, inner_low), (inner_high, high)) if hole[0] < hole[1])
    return filled, left


def pattern(offset: int, length: int) -> bytes:
    """Return what a `Writer` writes from *offset* on."""
    first, last = offset // _BLOCK, (offset + length - 1) // _BLOCK
    joined = b"".join(_block(number) for number in range(first, last + 1))
    begin = offset - first * _BLOCK
    return joined[begin : begin + length]


def locate(data: bytes | bytearray | memoryview, claimed: int) -> int | None:
    """Return where in the pattern *data* is from: at best where it is *claimed* to be; None if from nowhere."""
    data = bytes(data)
    if data == pattern(claimed, len(data)):
        return claimed
    for shift in range(min(_WORD, len(data) - _WORD + 1)):
        position = int.from_bytes(data[shift : shift + _WORD], "little") * _WORD - shift
        if 0 <= position < 1 << 60 and data == pattern(position, len(data)):
            return position
    return None


@lru_cache(maxsize=256)
def _block(number: int) -> bytes:
    # Two large numbers whose digits are words: adding is many times faster than making each word.
    first, ones = _numbers()
    return (first + ones * (number * (_BLOCK // _WORD))).to_bytes(_BLOCK, "little")


@cache
def _numbers() -> tuple[int, int]:
    """Return a block of the words 0, 1, 2…, and one of nothing but ones, as numbers."""
    words = range(_BLOCK // _WORD)
    digits = (b"".join(word.to_bytes(_WORD, "little") for word in row) for row in (words, [1] * len(words)))
    first, ones = (int.from_bytes(block, "little") for block in digits)
    return first, ones
