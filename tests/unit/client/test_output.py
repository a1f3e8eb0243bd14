from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from gproc.client import Client, Patience
from gproc.errors import GprocError, InternalError, JobNotFound, OffsetOutOfRange, Unavailable
from gproc.model import Chunk, Gap, JobState, Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR


async def read(output: Any) -> bytes:
    return b"".join([bytes(piece.data) async for piece in output if isinstance(piece, Chunk)])


async def test_output_of_a_finished_job_arrives_whole_and_ends_with_its_status(client: Client, server: Any) -> None:
    data = random.Random(1).randbytes(25_000)
    job = client.job(server.add((OUT, data[:9_000]), (ERR, data[9_000:])))
    assert await read(job.output()) == data
    assert job.status is not None
    assert job.status.state is JobState.EXITED


async def test_chunks_tell_stream_offset_and_time(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"out"), (ERR, b"err")))
    pieces = [piece async for piece in job.output()]
    assert [(bytes(piece.data), piece.stream, piece.offset) for piece in pieces if isinstance(piece, Chunk)] == [
        (b"out", OUT, 0),
        (b"err", ERR, 3),
    ]
    assert {piece.time for piece in pieces if isinstance(piece, Chunk)} == {datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}


async def test_output_is_whole_though_the_line_is_cut_twenty_times(client: Client, server: Any) -> None:
    chance = random.Random(2)
    data = chance.randbytes(100_000)
    job = client.job(server.add((OUT, data)))
    server.cuts = [chance.randrange(1, 9_000) for _ in range(20)]
    output = job.output()
    assert await read(output) == data
    assert output.breaks == 20
    assert output.offset == 100_000


async def test_a_stream_that_closes_without_an_end_is_asked_again(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x" * 5_000)))
    server.ends_early = 1
    output = job.output()
    assert await read(output) == b"x" * 5_000
    assert output.breaks == 1
    assert [wanted.offset for wanted in server.ranges] == [0, 5_000]


async def test_tail_and_time_are_asked_for_once_and_then_the_offset(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, bytes(range(250)) * 40)))
    server.cuts = [2_000]
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert await read(job.output(tail_bytes=5_000, since=since)) == (bytes(range(250)) * 40)[-5_000:]
    first, second = server.ranges
    assert (first.tail_bytes, first.since, first.offset) == (5_000, since, 0)
    assert (second.tail_bytes, second.since, second.offset) == (None, None, 7_000)


async def test_one_stream_alone_may_leave_holes_in_the_offsets(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"a" * 1_500), (ERR, b"b" * 700), (OUT, b"c" * 1_500)))
    server.cuts = [1_200]
    assert await read(job.output(streams=[OUT])) == b"a" * 1_500 + b"c" * 1_500


async def test_gaps_are_told_once_though_the_line_is_cut(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"a" * 1_000), 5_000, (OUT, b"b" * 1_000)))
    server.cuts = [3_000, 3_000]
    pieces = [piece async for piece in job.output()]
    assert [piece for piece in pieces if isinstance(piece, Gap)] == [Gap(1_000, 5_000)]


async def test_without_follow_it_ends_though_the_job_runs(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"so far"), state=JobState.RUNNING))
    output = job.output(follow=False)
    assert await read(output) == b"so far"
    assert output.end is not None
    assert output.end.state is JobState.RUNNING


async def test_following_goes_on_until_the_job_is_final(client: Client, server: Any) -> None:
    job_id = server.add((OUT, b"early "), state=JobState.RUNNING)
    async with client.job(job_id).output() as output:
        assert isinstance(await anext(output), Chunk)
        server.finish(job_id)
        with pytest.raises(StopAsyncIteration):
            await anext(output)
    assert output.end is not None
    assert output.end.is_final


async def test_leaving_early_tells_the_server(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x"), state=JobState.RUNNING))
    async with job.output() as output:
        await anext(output)
        assert not server.streams_left.is_set()
    async with asyncio.timeout(5):
        await server.streams_left.wait()


async def test_a_time_limit_around_output_still_works_after_a_break(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x" * 3_000), state=JobState.RUNNING))
    server.cuts = [1_000]
    output = job.output()

    async def read_until_there_is_no_more() -> None:
        async with asyncio.timeout(None) as limit, output:
            async for _piece in output:
                if output.offset == 3_000:
                    limit.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        await read_until_there_is_no_more()
    assert (output.offset, output.breaks) == (3_000, 1)


async def test_who_waited_in_vain_for_a_piece_is_given_all_that_comes_later(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x" * 1_000), state=JobState.RUNNING))
    async with job.output() as output:
        await anext(output)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(output)
        server.jobs[job.id].output.append((OUT, b"y"))
        server.finish(job.id)
        assert await read(output) == b"y"


async def test_an_error_is_not_the_end_of_output(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x" * 3_000)))
    output = job.output()
    server.fail_with = [JobNotFound(job.id)]
    with pytest.raises(JobNotFound):
        await anext(output)
    assert len(await read(output)) == 3_000


async def test_whoever_wants_to_know_is_told_of_breaks(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x" * 3_000)))
    server.cuts = [1_000, 1_000]
    told: list[tuple[GprocError, float]] = []
    output = job.output()
    output.on_break = lambda error, pause: told.append((error, pause))
    await read(output)
    assert len(told) == 2
    assert all(isinstance(error, Unavailable) and 0 < pause <= 0.02 for error, pause in told)


async def test_patience_ends_when_nothing_comes_any_more(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x" * 3_000)))
    server.cuts = [1_000] + [0] * 10_000
    with pytest.raises(Unavailable, match="connection broke"):
        await read(job.output(patience=Patience(total=0.2, first_delay=0.001, max_delay=0.01)))


async def test_a_job_that_is_not_there_is_an_error_at_once(client: Client, server: Any) -> None:
    missing = server.add()
    del server.jobs[missing]
    with pytest.raises(JobNotFound) as caught:
        await read(client.job(missing).output())
    assert caught.value.job_id == missing


async def test_an_offset_beyond_the_end_is_told(client: Client, server: Any) -> None:
    job = client.job(server.add((OUT, b"x")))
    server.fail_with = [OffsetOutOfRange("offset 9: beyond the 1 byte of output")]
    with pytest.raises(OffsetOutOfRange, match="beyond the 1 byte"):
        await read(job.output(offset=9))


async def test_a_server_that_swallows_the_last_bytes_is_found_out(client: Client, server: Any) -> None:
    job_id = server.add((OUT, b"x" * 100))
    server.jobs[job_id].output = [(OUT, b"x" * 60)]
    with pytest.raises(InternalError, match="ended at byte 60 of 100"):
        await read(client.job(job_id).output())
