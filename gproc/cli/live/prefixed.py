"""Lines of several jobs, each with its job before it: for pipes, and for terminals that want lines."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Self

from gproc.cli.console import is_terminal, note, paint
from gproc.cli.live.follow import Gaps
from gproc.cli.live.lines import LineSplitter
from gproc.cli.live.sink import Sink
from gproc.cli.render.escape import TerminalFilter, visible
from gproc.cli.render.jobs import outcome, short_ids
from gproc.model import Chunk, Gap, JobId, JobStatus, Stream

__all__ = ["PrefixedLines"]

_COLOURS = ("36", "33", "35", "32", "34", "31", "96", "93", "95", "92", "94", "91")


class PrefixedLines:
    """While entered, output goes to stdout and stderr as ``name | line``; starts and ends are told on stderr."""

    def __init__(self) -> None:
        self._prefixes: dict[JobId, dict[Stream, bytes]] = {}
        self._splitters: dict[tuple[JobId, Stream], LineSplitter] = {}
        self._gaps: dict[JobId, Gaps] = {}
        self._told: set[JobId] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._sinks = {
            Stream.STDOUT: self._stack.enter_context(Sink(1)),
            Stream.STDERR: self._stack.enter_context(Sink(2)),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def job(self, status: JobStatus) -> None:
        """Take note of a new job, or of a change."""
        label = visible(status.name) or short_ids([status.id])[status.id]
        if status.id not in self._prefixes:
            colour = _COLOURS[len(self._prefixes) % len(_COLOURS)]
            self._prefixes[status.id] = {
                Stream.STDOUT: paint(f"{label} |", colour, sys.stdout).encode() + b" ",
                Stream.STDERR: paint(f"{label} |", colour, sys.stderr).encode() + b" ",
            }
            self._gaps[status.id] = self._stack.enter_context(closing(Gaps(label)))
        if status.is_final and status.id not in self._told:
            self._told.add(status.id)
            self._gaps[status.id].tell()
            note(f"{label}: {outcome(status)}")

    async def output(self, job_id: JobId, piece: Chunk | Gap) -> None:
        """Print the lines that are complete."""
        if isinstance(piece, Gap):
            self._gaps[job_id].add(piece)
            return
        self._gaps[job_id].tell()
        splitter = self._splitters.setdefault((job_id, piece.stream), LineSplitter())
        await self._print(job_id, piece.stream, splitter.feed(piece.data))

    def say(self, text: str) -> None:
        """Tell something about the watching itself."""
        note(text)

    async def finish(self) -> None:
        """Print the lines that were never ended."""
        for (job_id, stream), splitter in self._splitters.items():
            await self._print(job_id, stream, splitter.rest())
        for gaps in self._gaps.values():
            gaps.tell()

    async def _print(self, job_id: JobId, stream: Stream, lines: list[bytes]) -> None:
        if not lines:
            return
        if is_terminal(sys.stdout if stream is Stream.STDOUT else sys.stderr):
            lines = [_safe(line) for line in lines]
        prefix = self._prefixes[job_id][stream]
        await self._sinks[stream].write(b"".join(prefix + line + b"\n" for line in lines))


def _safe(line: bytes) -> bytes:
    """Return *line* without anything to obey but colours; of what a carriage return drew over, the last is kept."""
    return TerminalFilter().feed(line.rstrip(b"\r").rpartition(b"\r")[2], final=True).encode()
