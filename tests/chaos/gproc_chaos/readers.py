"""Jobs that write the pattern, and those who follow them by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

from gproc.client import Client, Job
from gproc.client.output import Output
from gproc.model import Chunk, JobState, JobStatus
from gproc.testing.faults.pattern import Reading, Verdict, Writer, judge, pattern
from gproc_chaos.figure import Check, exactly

__all__ = ["Followed", "Tally", "follow", "is_written", "read_as_written"]

_BLOCK_WORDS = 1 << 16
_BLOCK = _BLOCK_WORDS * 8


@dataclass(slots=True)
class Followed:
    """A job of a writer, and what each of its readers got."""

    writer: Writer
    job: Job
    readings: list[Reading]
    ends: list[JobStatus]
    breaks: int

    @property
    def verdicts(self) -> list[Verdict]:
        """What became of the bytes on their way to each reader."""
        return [judge(reading.pieces, written=self.writer.written()) for reading in self.readings]


async def follow(job_id: str, writer: Writer, clients: Sequence[Client]) -> Followed:
    """Follow a job with each of *clients* to its end; nobody helps them over breaks."""
    jobs = [client.job(job_id) for client in clients]
    readings = [Reading() for _ in clients]
    outputs = [job.output() for job in jobs]

    async def read(index: int) -> JobStatus:
        async with outputs[index] as pieces:
            async for piece in pieces:
                readings[index].take(piece)
        end = outputs[index].end
        if end is None:
            raise AssertionError("the output ended without an end")
        return end

    ends = await asyncio.gather(*map(read, range(len(clients))))
    return Followed(writer, jobs[0], readings, list(ends), sum(output.breaks for output in outputs))


@dataclass(slots=True)
class Tally:
    """What is added up over many jobs that were followed."""

    rounds: int = 0
    readers: int = 0
    identical: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    damaged: int = 0
    right_codes: int = 0
    ran_once: int = 0
    breaks: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, followed: Followed) -> None:
        """Add a job that was to end by itself."""
        self.rounds += 1
        self.breaks += followed.breaks
        writer = followed.writer
        self.ran_once += writer.runs() == 1 and writer.counted() == [writer.total]
        self.right_codes += all(
            end.state is JobState.EXITED and end.exit_code == writer.code and end.output_bytes == writer.total
            for end in followed.ends
        )
        for verdict in followed.verdicts:
            self.readers += 1
            self.identical += verdict.is_identical and verdict.received == writer.total
            self.lost += verdict.lost
            self.duplicated += verdict.duplicated
            self.reordered += verdict.reordered
            self.damaged += verdict.damaged + verdict.invented
            if not verdict.is_identical:
                self.wrong.append(f"{followed.job.id}: {verdict}")

    def checks(self) -> list[Check]:
        """Return what has to hold, whatever was done to server and line."""
        seen = f"{self.lost} lost, {self.duplicated} duplicated, {self.reordered} reordered, {self.damaged} damaged"
        return [
            exactly("bytes", seen, "0 lost, 0 duplicated, 0 reordered, 0 damaged"),
            exactly("identical readers", f"{self.identical} of {self.readers}", f"{self.readers} of {self.readers}"),
            exactly("right exit codes", f"{self.right_codes} of {self.rounds}", f"{self.rounds} of {self.rounds}"),
            exactly("jobs that ran once", f"{self.ran_once} of {self.rounds}", f"{self.rounds} of {self.rounds}"),
        ]


async def read_as_written(output: Output) -> int:
    """Read to the end, or to what is not what a `Writer` wrote there; return how many bytes were as written."""
    same = 0
    async with output as pieces:
        async for piece in pieces:
            if not isinstance(piece, Chunk) or piece.offset != same or not is_written(piece.data, same):
                break
            same += len(piece.data)
    return same


def is_written(data: bytes | memoryview, offset: int) -> bool:
    """Whether *data* is what a `Writer` writes from *offset* on: for readers of so much that `Reading` is too slow."""
    rest = memoryview(data)
    while rest:
        number, begin = divmod(offset, _BLOCK)
        part = rest[: _BLOCK - begin]
        if not _block(number).startswith(part, begin):  # memcmp, and nothing is copied
            return False
        rest, offset = rest[len(part) :], offset + len(part)
    return True


@lru_cache(maxsize=64)
def _block(number: int) -> bytearray:
    """Return a block of the pattern; the first two bytes of its words are those of any block, the others all alike."""
    block = bytearray(_first_block())
    for place, digit in enumerate(number.to_bytes(6, "little"), start=2):
        if digit:
            block[place::8] = bytes([digit]) * _BLOCK_WORDS
    return block


@cache
def _first_block() -> bytes:
    return pattern(0, _BLOCK)
