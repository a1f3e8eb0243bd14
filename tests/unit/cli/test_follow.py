from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import pytest

from gproc.cli.live.follow import copy_output
from gproc.model import Chunk, Gap, JobState, JobStatus, Stream

END = JobStatus(id="0" * 36, owner="alice", state=JobState.EXITED, command="true", exit_code=0)


class Pieces:
    """What a client's output gives, without a client."""

    def __init__(self, pieces: Sequence[Chunk | Gap]) -> None:
        self._pieces = pieces
        self.on_break: Any = None
        self.end: JobStatus | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Chunk | Gap]:
        for piece in self._pieces:
            yield piece
        self.end = END


def chunk(offset: int, data: bytes) -> Chunk:
    return Chunk(data, Stream.STDOUT, offset, datetime.now(UTC))


async def test_gaps_that_adjoin_are_told_as_one_and_where_they_belong(capfd: pytest.CaptureFixture[str]) -> None:
    pieces = [Gap(0, 10), Gap(10, 5), chunk(15, b"a"), Gap(16, 4), Gap(20, 1), Gap(30, 2)]
    assert await copy_output(Pieces(pieces)) is END  # type: ignore[arg-type]  # it is one for as much as is used
    captured = capfd.readouterr()
    assert captured.out == "a"
    assert captured.err.splitlines() == [
        "gproc: 15 bytes not kept here: the output from offset 0 to 15",
        "gproc: 5 bytes not kept here: the output from offset 16 to 21",
        "gproc: 2 bytes not kept here: the output from offset 30 to 32",
    ]


async def test_talk_begins_on_a_line_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    pieces = [
        Chunk(b"half", Stream.STDERR, 0, now),
        Gap(4, 2),
        Chunk(b"whole\n\x1b[0m", Stream.STDERR, 6, now),
        Gap(16, 1),
    ]
    await copy_output(Pieces(pieces))  # type: ignore[arg-type]  # it is one for as much as is used
    assert capfd.readouterr().err == (
        "half\ngproc: 2 bytes not kept here: the output from offset 4 to 6\n"
        "whole\n\x1b[0mgproc: 1 bytes not kept here: the output from offset 16 to 17\n"
    )
