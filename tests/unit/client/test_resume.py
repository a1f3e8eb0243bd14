from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.client.resume import Backoff, Patience, Progress
from gproc.errors import InternalError, InvalidArgument, Unavailable
from gproc.model import Chunk, End, Gap, JobState, JobStatus, OutputRange, Stream

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OUT, ERR = Stream.STDOUT, Stream.STDERR


def chunk(offset: int, data: bytes, stream: Stream = OUT) -> Chunk:
    return Chunk(data, stream, offset, NOW)


def end(output_bytes: int, state: JobState = JobState.EXITED) -> End:
    return End(JobStatus(id="0" * 36, owner="alice", state=state, command="x", output_bytes=output_bytes))


def test_the_first_request_is_what_the_reader_wanted() -> None:
    wanted = OutputRange(offset=7, tail_lines=3, since=NOW, streams=frozenset({ERR}))
    assert Progress(wanted).request() == wanted


def test_after_the_first_bytes_only_the_offset_says_where_to_begin() -> None:
    progress = Progress(OutputRange(tail_lines=3, since=NOW, streams=frozenset({ERR})))
    progress.receive(chunk(100, b"abc", ERR))
    assert progress.request() == OutputRange(offset=103, streams=frozenset({ERR}))


def test_a_tail_is_asked_for_again_if_nothing_of_it_came() -> None:
    wanted = OutputRange(tail_bytes=10)
    progress = Progress(wanted)
    assert progress.request() == progress.request() == wanted


def test_a_tail_whose_beginning_was_told_is_asked_for_from_there() -> None:
    progress = Progress(OutputRange(tail_lines=0))
    assert progress.receive(Gap(70, 0)) is None
    assert progress.request() == OutputRange(offset=70)
    with pytest.raises(InternalError, match="from byte 70 to 75 without a gap"):
        progress.receive(chunk(75, b"x"))


def test_bytes_that_come_twice_are_refused() -> None:
    progress = Progress(OutputRange())
    progress.receive(chunk(0, b"abc"))
    with pytest.raises(InternalError, match="from byte 2 again, after byte 3"):
        progress.receive(chunk(2, b"cd"))


def test_bytes_that_are_left_out_without_a_gap_are_refused() -> None:
    progress = Progress(OutputRange())
    progress.receive(chunk(0, b"abc"))
    with pytest.raises(InternalError, match="from byte 3 to 5 without a gap"):
        progress.receive(chunk(5, b"f"))


def test_the_first_bytes_must_be_those_asked_for() -> None:
    with pytest.raises(InternalError):
        Progress(OutputRange(offset=5)).receive(chunk(6, b"x"))


@pytest.mark.parametrize("tail", [OutputRange(tail_bytes=1), OutputRange(tail_lines=1), OutputRange(since=NOW)])
def test_a_tail_may_begin_anywhere(tail: OutputRange) -> None:
    assert Progress(tail).receive(chunk(99, b"x")) == chunk(99, b"x")


def test_of_one_stream_alone_what_the_other_wrote_is_not_missed() -> None:
    progress = Progress(OutputRange(streams=frozenset({ERR})))
    assert progress.receive(chunk(7, b"x", ERR)) == chunk(7, b"x", ERR)
    assert progress.receive(chunk(90, b"y", ERR)) == chunk(90, b"y", ERR)
    progress.receive(end(100))
    assert progress.end is not None


def test_of_a_gap_only_what_is_news_is_told() -> None:
    progress = Progress(OutputRange(offset=150))
    assert progress.receive(Gap(100, 100)) == Gap(150, 50)
    assert progress.receive(Gap(100, 100)) is None
    assert progress.receive(Gap(100, 120)) == Gap(200, 20)
    assert progress.offset == 220


def test_a_gap_behind_what_was_asked_for_does_not_tell_where_the_tail_begins() -> None:
    wanted = OutputRange(offset=150, tail_lines=3)
    progress = Progress(wanted)
    assert progress.receive(Gap(100, 20)) is None
    assert progress.request() == wanted


def test_the_end_must_not_come_before_the_last_byte() -> None:
    progress = Progress(OutputRange())
    progress.receive(chunk(0, b"abc"))
    with pytest.raises(InternalError, match="ended at byte 3 of 4"):
        progress.receive(end(4))


def test_of_a_lost_job_nobody_knows_how_much_there_was() -> None:
    progress = Progress(OutputRange())
    progress.receive(end(4, JobState.LOST))
    assert progress.end is not None


def test_the_end_of_a_job_that_runs_is_a_break_for_a_follower() -> None:
    with pytest.raises(Unavailable):
        Progress(OutputRange()).receive(end(0, JobState.RUNNING))


def test_the_end_of_a_job_that_runs_is_an_end_for_who_does_not_follow() -> None:
    progress = Progress(OutputRange(follow=False))
    progress.receive(end(9, JobState.RUNNING))
    assert progress.end is not None


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8), piece=st.integers(1, 50))
def test_the_bytes_of_all_answers_together_are_the_output(data: bytes, cuts: list[int], piece: int) -> None:
    progress = Progress(OutputRange())
    received = b""
    for cut in [*cuts, None]:
        start = progress.request().offset
        events = [chunk(at, data[at : at + piece]) for at in range(start, len(data), piece)]
        for event in events if cut is None else events[:cut]:
            told = progress.receive(event)
            assert isinstance(told, Chunk)
            received += bytes(told.data)
    progress.receive(end(len(data)))
    assert received == data


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(Patience(total=1000, first_delay=1, max_delay=5), lambda: 1.0)
    assert [backoff.failed(now=0, was_reached=True) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_pauses_are_drawn_between_half_and_all_of_their_length() -> None:
    patience = Patience(total=1000, first_delay=1)
    assert Backoff(patience, lambda: 0.0).failed(now=0, was_reached=True) == 0.5
    assert Backoff(patience, lambda: 0.5).failed(now=0, was_reached=True) == 0.75


def test_progress_makes_pauses_short_again() -> None:
    backoff = Backoff(Patience(first_delay=1), lambda: 1.0)
    backoff.failed(now=0, was_reached=True)
    backoff.failed(now=0, was_reached=True)
    backoff.progress()
    assert backoff.failed(now=0, was_reached=True) == 1


def test_a_connection_that_held_for_long_was_progress() -> None:
    backoff = Backoff(Patience(first_delay=1, steady=9), lambda: 1.0)
    assert [backoff.failed(now=0, was_reached=True, held=held) for held in (0, 9, 9.1, 0)] == [1, 2, 1, 2]


def test_patience_is_counted_from_the_first_failure_in_a_row() -> None:
    backoff = Backoff(Patience(total=60), lambda: 1.0)
    backoff.failed(now=0, was_reached=True)
    backoff.progress()
    assert backoff.failed(now=100, was_reached=True) is not None
    assert backoff.failed(now=159.9, was_reached=True) is not None
    assert backoff.failed(now=160, was_reached=True) is None


def test_a_server_that_was_never_reached_is_tried_a_few_times() -> None:
    backoff = Backoff(Patience(attempts=3), lambda: 1.0)
    pauses = [backoff.failed(now=0, was_reached=False) for _ in range(3)]
    assert pauses[:2] == [0.05, 0.1]
    assert pauses[2] is None


@given(st.lists(st.floats(0, 10), max_size=200), st.floats(0, 1))
def test_pauses_never_lead_beyond_the_patience(steps: list[float], chance: float) -> None:
    backoff = Backoff(Patience(total=60), lambda: chance)
    now = 0.0
    for step in steps:
        pause = backoff.failed(now=now, was_reached=True)
        if pause is None:
            assert now >= 60
            return
        assert 0 < pause <= 5
        assert now + pause <= 60 + 1e-9
        now += pause + step


@pytest.mark.parametrize("field", ["total", "attempts", "first_delay", "max_delay", "steady"])
@pytest.mark.parametrize("value", ["5", None, -1, True])
def test_a_patience_that_is_no_number_is_refused_with_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=rf"^patience\.{field}: must be a "):
        Patience(**{field: value})
