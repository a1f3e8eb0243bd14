from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gproc.cli.live.prefixed import PrefixedLines
from gproc.model import Chunk, Gap, JobState, JobStatus, Stream

RED = JobStatus(id="r" * 36, owner="alice", state=JobState.RUNNING, command="sh", name="red")
NAMELESS = JobStatus(id="n" * 36, owner="alice", state=JobState.RUNNING, command="sh")


def ended(status: JobStatus) -> JobStatus:
    return replace(status, state=JobState.EXITED, exit_code=0)


def chunk(offset: int, data: bytes, stream: Stream = Stream.STDOUT) -> Chunk:
    return Chunk(data, stream, offset, datetime.now(UTC))


async def test_gaps_that_adjoin_are_told_as_one_where_they_belong_with_the_name_that_is_before_the_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with PrefixedLines() as lines:
        lines.job(RED)
        for piece in (Gap(0, 10), Gap(10, 5), chunk(15, b"a\n", Stream.STDERR), Gap(17, 4), chunk(21, b"b\n")):
            await lines.output(RED.id, piece)
        await lines.output(RED.id, Gap(23, 1))
        lines.job(ended(RED))
        lines.job(ended(RED))  # as told again after a break
        await lines.finish()
    told = capfd.readouterr()
    assert told.out == "red | b\n"
    assert told.err.splitlines() == [
        "gproc: red: 15 bytes not kept here: the output from offset 0 to 15",
        "red | a",
        "gproc: red: 4 bytes not kept here: the output from offset 17 to 21",
        "gproc: red: 1 bytes not kept here: the output from offset 23 to 24",
        "gproc: red: exited 0",
    ]


async def test_a_gap_of_one_job_does_not_wait_for_another_and_a_job_without_a_name_goes_by_its_id(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with PrefixedLines() as lines:
        for job in (RED, NAMELESS):
            lines.job(job)
        await lines.output(RED.id, Gap(0, 10))
        await lines.output(NAMELESS.id, Gap(0, 3))
        await lines.output(NAMELESS.id, chunk(3, b"c\n"))
        assert capfd.readouterr().err == f"gproc: {'n' * 12}: 3 bytes not kept here: the output from offset 0 to 3\n"
        await lines.output(RED.id, Gap(10, 10))
    assert capfd.readouterr().err == "gproc: red: 20 bytes not kept here: the output from offset 0 to 20\n"


async def test_lines_that_were_never_ended_come_at_the_end_before_what_is_missing_after_them(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with PrefixedLines() as lines:
        lines.job(RED)
        await lines.output(RED.id, chunk(0, b"half", Stream.STDERR))
        await lines.output(RED.id, Gap(4, 2))
        await lines.finish()
    assert capfd.readouterr().err == ("red | half\ngproc: red: 2 bytes not kept here: the output from offset 4 to 6\n")
