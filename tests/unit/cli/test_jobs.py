from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.cli.render.jobs import (
    STATE_STYLES,
    card_lines,
    command_line,
    duration_of,
    json_text,
    outcome,
    outcome_style,
    plain_table,
    short_ids,
)
from gproc.model import JobState, JobStatus, make_job_id

NOW, ZERO = datetime(2026, 7, 1, 12, 0, tzinfo=UTC), timedelta(0)
ids = st.builds(
    lambda ms, chance: make_job_id(milliseconds=ms, chance=chance), st.integers(0, 3), st.integers(0, (1 << 130) - 1)
)


def job(state: JobState = JobState.RUNNING, **values: object) -> JobStatus:
    return JobStatus(**{"id": "0" * 36, "owner": "alice", "state": state, "command": "true", **values})  # type: ignore[arg-type]  # a test's defaults


@given(st.lists(ids, unique=True))
def test_short_ids_are_equally_long_and_tell_all_apart(job_ids: list[str]) -> None:
    shown = short_ids(job_ids)
    assert len(set(shown.values())) == len(job_ids)
    assert len({len(short) for short in shown.values()}) <= 1
    assert all(job_id.startswith(short) and len(short) >= 12 for job_id, short in shown.items())


def test_short_ids_are_no_longer_than_it_takes() -> None:
    alone, one, other = "0" * 36, "1" * 20 + "2" * 16, "1" * 20 + "3" * 16
    assert short_ids([alone]) == {alone: "0" * 12}
    assert short_ids([alone, one, other]) == {alone: "0" * 21, one: "1" * 20 + "2", other: "1" * 20 + "3"}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (job(), "running"),
        (job(JobState.EXITED, exit_code=7), "exited 7"),
        (job(JobState.SIGNALED, signal="SIGSEGV"), "signaled SIGSEGV"),
        (job(JobState.TIMED_OUT, signal="SIGKILL"), "timed out SIGKILL"),
        (job(JobState.STOPPED, exit_code=0), "stopped 0"),
        (job(JobState.LOST), "lost"),
    ],
)
def test_an_outcome_is_a_few_words(status: JobStatus, words: str) -> None:
    assert outcome(status) == words


def test_every_state_has_a_style() -> None:
    assert set(STATE_STYLES) == set(JobState)


def test_an_exit_code_that_is_not_0_is_red() -> None:
    assert outcome_style(job(JobState.EXITED, exit_code=0)) == "green"
    assert outcome_style(job(JobState.EXITED, exit_code=1)) == "red"
    assert outcome_style(job(JobState.STOPPED, exit_code=1)) == STATE_STYLES[JobState.STOPPED]


def test_a_command_is_shown_as_one_would_type_it_and_can_do_no_harm() -> None:
    assert command_line(job(command="sh", args=("-c", "echo 'a b'", "", "\x1b[2J\n"))) == (
        "sh -c 'echo '\\''a b'\\''' '' '\\x1b[2J\\n'"
    )


def test_a_command_is_cut_in_the_word_where_the_room_ends() -> None:
    status = job(command="sh", args=("-c", "echo", "much"))
    assert command_line(status, longest=13) == "sh -c echo 'mu…'"
    assert command_line(status, longest=16) == "sh -c echo much"


def test_no_duration_is_negative_even_if_clocks_disagree() -> None:
    assert duration_of(job(started_at=NOW + timedelta(hours=1)), now=NOW) == timedelta(0)
    assert duration_of(job(), now=NOW) is None


@given(st.sampled_from(("seconds", "minutes", "days")).flatmap(lambda u: st.timedeltas(ZERO, timedelta(**{u: 20}))))
def test_a_job_that_started_when_it_was_made_took_its_age_to_the_same_digit(since: timedelta) -> None:
    running = job(created_at=NOW - since, started_at=NOW - since)
    _, _, age, took, *_ = plain_table([running], now=NOW).splitlines()[1].split()
    assert took.startswith(age)


def test_a_duration_is_cut_off_and_not_rounded() -> None:
    _, _, age, took, *_ = (
        plain_table([job(created_at=NOW, started_at=NOW - timedelta(seconds=1.99))], now=NOW).splitlines()[1].split()
    )
    assert (age, took) == ("0.0s", "1.9s")


def test_output_that_was_not_all_kept_is_marked_where_its_size_is_and_takes_no_more_room() -> None:
    whole, cut = (plain_table([job(output_bytes=100_000, dropped_bytes=lost)], now=NOW) for lost in (0, 1))
    assert cut == whole.replace("97.7 KiB", "97.7KiB!")


def test_a_table_in_a_pipe_cuts_only_commands_that_are_very_long() -> None:
    kept, cut = (plain_table([job(args=("x" * length,))], now=NOW).splitlines()[1] for length in (1900, 130_000))
    assert kept.endswith("x" * 1900)
    assert len(cut) < 2200
    assert "…" in cut


def test_a_table_in_a_pipe_has_whole_ids_and_a_line_a_job() -> None:
    text = plain_table([job(name="evil\nname"), job(JobState.EXITED, exit_code=0)], now=NOW)
    heading, *rows = text.splitlines()
    assert heading.split() == ["ID", "STATE", "AGE", "TOOK", "OUTPUT", "NAME", "COMMAND"]
    assert len(rows) == 2
    assert rows[0].startswith("0" * 36 + "  running  ")
    assert "evil\\nname" in rows[0]


def test_json_is_an_object_for_one_and_an_array_for_many() -> None:
    assert json.loads(json_text({"id": "x"})) == {"id": "x"}
    assert json.loads(json_text([{"id": "x"}])) == [{"id": "x"}]
    assert json.loads(json_text([])) == []


def test_a_card_leaves_out_what_is_not_known_and_tells_what_was_dropped() -> None:
    card = dict(card_lines(job(dropped_bytes=5, output_bytes=10), now=NOW))
    assert card == {
        "id": "0" * 36,
        "command": "true",
        "state": "running",
        "owner": "alice",
        "output": "10 B, of which 5 B could not be kept",
    }


def test_e12_a_record_whose_end_lies_before_its_start_shows_no_negative_duration() -> None:
    backwards = job(JobState.EXITED, exit_code=0, created_at=NOW, started_at=NOW, ended_at=NOW - timedelta(days=1))
    assert duration_of(backwards, now=NOW) == timedelta(0)
    assert "-1" not in plain_table([backwards], now=NOW - timedelta(days=2))
    assert not [line for line in card_lines(backwards, now=NOW - timedelta(days=2)) if "-1" in line]
