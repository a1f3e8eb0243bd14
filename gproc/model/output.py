"""What a reader of output receives: chunks, gaps, and at last the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from gproc.errors import InvalidArgument
from gproc.model.checks import check_kind, check_natural, members
from gproc.model.job import JobStatus

__all__ = ["Chunk", "End", "Gap", "OutputEvent", "OutputRange", "Stream"]


class Stream(Enum):
    """One of a job's two output streams; the value is the word that people see."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output: bytes as the job wrote them."""

    data: bytes | memoryview
    """Any bytes, cut anywhere: not at lines, not at characters."""
    stream: Stream
    offset: int
    """Position of the first byte in the merged output of both streams."""
    time: datetime
    """When Gproc read these bytes from the job."""

    def __reduce__(self) -> tuple[object, ...]:
        # For a pool of processes, and copies: a view of memory has neither.
        return Chunk, (bytes(self.data), self.stream, self.offset, self.time)


@dataclass(frozen=True, slots=True)
class Gap:
    """Output that was dropped: `bytes` of it, beginning at `offset`. One of no bytes says where a tail begins."""

    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class End:
    """The last event of a stream: the status of the job, final unless the reader asked not to follow."""

    status: JobStatus


OutputEvent = Chunk | Gap | End


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRange:
    """Which part of a job's output a reader wants, and whether it stays for more.

    Raises `InvalidArgument`, naming the field, if something is not of its kind.
    """

    offset: int = 0
    follow: bool = True
    streams: frozenset[Stream] = frozenset(Stream)
    tail_bytes: int | None = None
    tail_lines: int | None = None
    since: datetime | None = None

    def __post_init__(self) -> None:
        check_natural("offset", self.offset)
        check_kind("follow", self.follow, bool, "True or False")
        members("streams", self.streams, Stream)
        for name in ("tail_bytes", "tail_lines"):
            if getattr(self, name) is not None:
                check_natural(name, getattr(self, name))
        check_kind("since", self.since, datetime | None, "a datetime")
        if self.since is not None:
            _check_countable("since", self.since)


def _check_countable(field: str, moment: datetime) -> None:
    """Refuse the first and the last hours there are, where they are another day in UTC."""
    try:
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, f"{moment} cannot be counted in UTC") from None
