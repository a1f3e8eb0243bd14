"""Going on after a break: what to ask next, and how long to keep trying. Pure: no network, no clock, no sleep.

`Progress` follows one stream of output. Whatever has been received, `Progress.request` is what to ask for next, and the
bytes of all answers together are the output, once and in order: `Progress.receive` raises if they are not.

`Backoff` decides after each failure how long to pause, or to give up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gproc.errors import InternalError, Unavailable
from gproc.model import Chunk, End, Gap, JobState, JobStatus, OutputEvent, OutputRange, Stream
from gproc.model.checks import check_natural, check_seconds

__all__ = ["Backoff", "Patience", "Progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How broken connections are mended; times are in seconds."""

    total: float = 60.0
    """How long a server that was reached before is tried again without any progress."""
    attempts: int = 3
    """How often a server that was never reached is tried."""
    first_delay: float = 0.05
    """The pause after the first failure; it doubles with each."""
    max_delay: float = 5.0
    """The longest pause."""
    steady: float = 10.0
    """A connection that was up for so long counts as progress, though nothing came over it."""

    def __post_init__(self) -> None:
        check_natural("patience.attempts", self.attempts)
        for name in ("total", "first_delay", "max_delay", "steady"):
            check_seconds(f"patience.{name}", getattr(self, name))


class Backoff:
    """How long to pause after each failure in a row, or when to give up.

    Pauses are drawn between half and all of their length, so that many clients of one server do not come back at once.
    """

    def __init__(self, patience: Patience, chance: Callable[[], float]) -> None:
        self._patience = patience
        self._chance = chance
        self._failures = 0
        self._since = 0.0

    def progress(self) -> None:
        """Forget the failures: things go on."""
        self._failures = 0

    def failed(self, *, now: float, was_reached: bool, held: float = 0.0) -> float | None:
        """Return the pause before the next attempt, or None to give up.

        *now* is monotonic; *was_reached* tells whether the server has ever answered; *held* is how many seconds the
        connection of this attempt was up, which may count as progress.
        """
        if held > self._patience.steady:
            self.progress()
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if not was_reached and self._failures >= self._patience.attempts:
            return None
        left = self._since + self._patience.total - now
        if left <= 0:
            return None
        longest = min(self._patience.max_delay, self._patience.first_delay * 2.0 ** min(self._failures - 1, 30))
        return min(left, longest * (0.5 + 0.5 * self._chance()))


class Progress:
    """How far a reader of one job's output has come."""

    def __init__(self, wanted: OutputRange) -> None:
        self._wanted = wanted
        self._has_begun = False
        self.offset = wanted.offset
        """The next byte wanted, counted in the merged output."""
        self.end: JobStatus | None = None
        """The status that the stream ended with, if it did."""

    def request(self) -> OutputRange:
        """Return what to ask for next: where to begin is said once, after that everything is an offset."""
        if not self._has_begun:
            return self._wanted
        return replace(self._wanted, offset=self.offset, tail_bytes=None, tail_lines=None, since=None)

    def receive(self, event: OutputEvent) -> Chunk | Gap | None:
        """Take note of *event*; return what the reader is to see of it, if anything.

        Raises `InternalError` if bytes come twice or are missing without a gap, and `Unavailable` if the stream says
        that it has ended while the job has not.
        """
        match event:
            case Chunk():
                self._advance(event.offset, len(event.data))
                return event
            case Gap():
                return self._gap(event)
            case End():
                self._finish(event.status)
                return None

    def _gap(self, gap: Gap) -> Gap | None:
        # A gap may reach back behind what was asked for, or have grown since: only its news counts.
        stop = gap.offset + gap.bytes
        start = max(gap.offset, self.offset)
        if stop <= start:
            if not gap.bytes and not self._has_begun:
                self._advance(start, 0)  # here the tail begins
            return None
        self._advance(start, stop - start)
        return Gap(start, stop - start)

    def _advance(self, offset: int, count: int) -> None:
        if offset < self.offset:
            raise InternalError(f"the server sent the output from byte {offset} again, after byte {self.offset}")
        if offset > self.offset and self._is_gapless:
            raise InternalError(f"the server left out the output from byte {self.offset} to {offset} without a gap")
        self._has_begun = True
        self.offset = offset + count

    def _finish(self, status: JobStatus) -> None:
        if self._wanted.follow:
            if not status.is_final:
                raise Unavailable(f"job {status.id}: the output ended before the job did")
            if self._is_gapless and status.state is not JobState.LOST and self.offset < status.output_bytes:
                raise InternalError(
                    f"job {status.id}: the output ended at byte {self.offset} of {status.output_bytes} without a gap"
                )
        self.end = status

    @property
    def _is_gapless(self) -> bool:
        """Whether the next byte to come must be the next byte there is."""
        wanted = self._wanted
        begins_later = wanted.tail_bytes is not None or wanted.tail_lines is not None or wanted.since is not None
        return wanted.streams == frozenset(Stream) and (self._has_begun or not begins_later)
