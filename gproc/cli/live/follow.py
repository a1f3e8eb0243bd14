"""A job's output onto standard output and standard error, until it ends."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from gproc.cli.console import being_mended, is_terminal, note
from gproc.cli.live.sink import Sink
from gproc.cli.live.transform import Safe, Stamped, Transform, as_it_is
from gproc.model import Chunk, Gap, JobStatus, Stream

if TYPE_CHECKING:
    from gproc.client import Output
    from gproc.errors import GprocError

__all__ = ["Gaps", "Place", "copy_output"]

_FIRST_PATIENCE = 1.0  # seconds


class Place:
    """How far an output was written: where to go on is not where reading got to, if whoever reads us is slow."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._unwritten: int | None = None

    @property
    def offset(self) -> int:
        """The first byte that was not written."""
        return self._output.offset if self._unwritten is None else self._unwritten

    async def write(self, sink: Sink, chunk: Chunk, transform: Transform) -> None:
        """Write what *transform* makes of *chunk*; where it is cut, bytes that were changed are to be shown again."""
        self._unwritten = chunk.offset
        before = sink.written
        try:
            await sink.write(transform(chunk))
        except BaseException:
            if transform is as_it_is:
                self._unwritten += sink.written - before
            raise
        self._unwritten = None


async def copy_output(
    output: Output, *, timestamps: bool = False, raw: bool = False, place: Place | None = None
) -> JobStatus | None:
    """Write the output where it belongs, gaps as notes; return the status it ended with.

    A terminal is given nothing to obey but colours, unless *raw*. *place* knows how far it got. Raises what the client
    raises, and `BrokenPipeError` when nobody reads any more. Cancelling stops reading; the job does not notice.
    """
    outage, place = _Outage(), place or Place(output)
    output.on_break = outage.begins
    transforms = {
        Stream.STDOUT: _transform(is_terminal(sys.stdout) and not raw, timestamps),
        Stream.STDERR: _transform(is_terminal(sys.stderr) and not raw, timestamps),
    }
    sys.stdout.flush()
    with ExitStack() as stack:
        gaps = stack.enter_context(closing(Gaps()))
        sinks = {Stream.STDOUT: stack.enter_context(Sink(1)), Stream.STDERR: stack.enter_context(Sink(2))}
        async with output as pieces:
            async for piece in pieces:
                outage.ends()
                if isinstance(piece, Gap):
                    gaps.add(piece)
                    continue
                gaps.tell()
                await place.write(sinks[piece.stream], piece, transforms[piece.stream])
        for stream, transform in transforms.items():
            await sinks[stream].write(transform(None))
    return output.end


class Gaps:
    """Tells of gaps: those that adjoin as one, told when it is over, or when it has been growing for long enough.

    Where several jobs are shown, *label* says whose they are.
    """

    def __init__(self, label: str = "") -> None:
        self._before = f"{label}: " if label else ""
        self._grown: Gap | None = None
        self._patience = _FIRST_PATIENCE
        self._timer: asyncio.TimerHandle | None = None

    def add(self, gap: Gap) -> None:
        """Take note of a gap."""
        grown = self._grown
        if grown is not None and grown.offset + grown.bytes == gap.offset:
            self._grown = Gap(grown.offset, grown.bytes + gap.bytes)
            return
        self.tell()
        self._grown = gap
        self._timer = asyncio.get_running_loop().call_later(self._patience, self.tell)
        self._patience *= 2  # where everything is dropped, nobody wants a line each second

    def tell(self) -> None:
        """Tell what was not told yet."""
        if self._timer is not None:
            self._timer.cancel()
        if self._grown is not None:
            note(f"{self._before}{_gap_text(self._grown)}")
        self._grown, self._timer = None, None

    close = tell


def _gap_text(gap: Gap) -> str:
    return f"{gap.bytes} bytes not kept here: the output from offset {gap.offset} to {gap.offset + gap.bytes}"


def _transform(safe: bool, timestamps: bool) -> Transform:
    transform: Transform = Safe() if safe else as_it_is
    return Stamped(transform) if timestamps else transform


class _Outage:
    """Tells of a broken connection once when it breaks, however often it is tried, and once when it is back."""

    def __init__(self) -> None:
        self._is_told = False

    def begins(self, error: GprocError, _pause: float) -> None:
        if not self._is_told:
            self._is_told = True
            note(being_mended(error))

    def ends(self) -> None:
        if self._is_told:
            self._is_told = False
            note("connected again")
