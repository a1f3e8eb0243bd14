from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gproc.cli.live.screen import Screen
from gproc.cli.render.panes import Pane, draw_panes, fit_grid, summary_text
from gproc.model import JobState, JobStatus

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def job(state: JobState, *, exit_code: int | None = None, name: str = "") -> JobStatus:
    return JobStatus(id="0" * 36, owner="alice", state=state, command="x", exit_code=exit_code, name=name)


GOOD, BAD = job(JobState.EXITED, exit_code=0), job(JobState.EXITED, exit_code=1)


@pytest.mark.parametrize(
    ("count", "width", "height", "shape"),
    [
        (1, 80, 23, (1, 1)),
        (2, 80, 23, (1, 2)),
        (2, 200, 50, (2, 1)),
        (3, 80, 23, (1, 3)),
        (4, 80, 23, (2, 2)),
        (4, 200, 50, (2, 2)),
        (9, 240, 60, (3, 3)),
    ],
)
def test_panes_are_laid_out_as_one_would(count: int, width: int, height: int, shape: tuple[int, int]) -> None:
    grid = fit_grid(count, width, height)
    assert (grid.columns, grid.rows) == shape


@given(st.integers(1, 200), st.integers(1, 300), st.integers(1, 100))
def test_a_grid_never_leaves_the_terminal(count: int, width: int, height: int) -> None:
    grid = fit_grid(count, width, height)
    assert grid.columns >= 1
    assert grid.rows >= 1
    assert grid.columns * grid.width <= width
    assert grid.rows * grid.height <= height


@given(st.integers(1, 200), st.integers(40, 300), st.integers(6, 100))
def test_as_many_panes_are_shown_as_have_room(count: int, width: int, height: int) -> None:
    grid = fit_grid(count, width, height)
    assert grid.columns * grid.rows >= min(count, (width // 38) * (height // 5))


def test_jobs_that_are_over_make_room_for_those_that_run() -> None:
    jobs = [job(JobState.EXITED, exit_code=0, name="over"), *(job(JobState.RUNNING, name=f"run{n}") for n in range(2))]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(draw_panes([Pane(one, Screen(), one.name) for one in jobs], width=80, height=6, now=NOW))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert [name in drawn for name in ("over", "run0", "run1", "1 more do not fit")] == [False, True, True, True]


@pytest.mark.parametrize(
    ("jobs", "words", "colour"),
    [
        ([], "0 jobs: ", "green"),
        ([GOOD], "1 job: 1 exited 0", "green"),
        ([GOOD, job(JobState.STOPPED)], "2 jobs: 1 exited 0, 1 stopped", "yellow"),
        ([GOOD, job(JobState.RUNNING)], "2 jobs: 1 exited 0, 1 running", "yellow"),
        ([BAD, job(JobState.STOPPED)], "2 jobs: 1 exited 1, 1 stopped", "red"),
        ([job(JobState.LOST), GOOD, GOOD], "3 jobs: 2 exited 0, 1 lost", "red"),
    ],
)
def test_the_line_at_the_end_has_the_colour_of_the_worst(jobs: list[JobStatus], words: str, colour: str) -> None:
    line = summary_text(jobs, took=timedelta(seconds=12))
    assert line.plain == f"{words} · 12s"
    assert colour in {span.style for span in line.spans} or not jobs
