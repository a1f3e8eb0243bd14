"""Jobs in panes: how many fit, what their titles say, and the line at the end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gproc.cli.live.screen import Screen
from gproc.cli.render.escape import visible
from gproc.cli.render.jobs import command_line, duration_of, outcome, outcome_style
from gproc.model import JobState, JobStatus
from gproc.model.units import format_duration, format_size

__all__ = ["Grid", "Pane", "draw_panes", "fit_grid", "summary_text"]

_MARKS = {JobState.PENDING: "○", JobState.RUNNING: "●", JobState.STOPPING: "◐", JobState.EXITED: "✓"}
_NARROWEST, _LOWEST = 38, 5
_WIDE_ENOUGH, _HIGH_ENOUGH = 100, 20


class Grid(NamedTuple):
    """So many panes side by side and one above the other, each of this size with its border."""

    columns: int
    rows: int
    width: int
    height: int


class Pane(NamedTuple):
    """A job, and what is to be seen of its output."""

    status: JobStatus
    screen: Screen
    label: str
    """Short id."""
    seen: int = 0
    """Where the output has got to; a status tells it only when it changes."""


def fit_grid(count: int, width: int, height: int) -> Grid:
    """Return the grid that shows the most panes, and shows them best, in *width* by *height* cells."""
    widest = max(1, min(count, width // _NARROWEST))
    highest = max(1, height // _LOWEST)
    best, best_score = Grid(1, 1, width, height), (0.0, 0.0)
    for columns in range(1, widest + 1):
        rows = min(highest, max(1, -(-count // columns)))
        pane = Grid(columns, rows, width // columns, height // rows)
        shape = min(pane.width / _WIDE_ENOUGH, 1) * min(pane.height / _HIGH_ENOUGH, 1)
        score = (float(min(count, columns * rows)), round(shape, 6))
        if score >= best_score:
            best, best_score = pane, score
    return best


def draw_panes(panes: Sequence[Pane], *, width: int, height: int, now: datetime, news: str = "") -> RenderableType:
    """Return the panes in a grid of *width* by *height* cells; the last line tells what does not fit, and *news*."""
    grid = fit_grid(len(panes), width, max(1, height - 1))
    shown = _most_interesting(panes, grid.columns * grid.rows)
    rows: list[RenderableType] = []
    for start in range(0, len(shown), grid.columns):
        row = Table.grid(padding=0)
        for _ in range(grid.columns):
            row.add_column(width=grid.width, no_wrap=True)
        row.add_row(*(_draw_pane(pane, grid, now) for pane in shown[start : start + grid.columns]))
        rows.append(row)
    return Group(*rows, _footer(panes, len(shown), width, news))


def _most_interesting(panes: Sequence[Pane], room: int) -> list[Pane]:
    """Return the panes that have room, in their order; jobs that are over make room for those that run."""
    if len(panes) <= room:
        return list(panes)
    kept = sorted(range(len(panes)), key=lambda n: (panes[n].status.is_final, n))[:room]
    return [panes[n] for n in sorted(kept)]


def _draw_pane(pane: Pane, grid: Grid, now: datetime) -> Panel:
    inner_width, inner_height = max(1, grid.width - 4), max(1, grid.height - 2)
    body = Text("\n").join(pane.screen.rows(inner_width, inner_height))
    return Panel(
        body,
        title=_title(pane.status, grid.width - 6, now),
        title_align="left",
        subtitle=Text(f"{pane.label} · {format_size(max(pane.seen, pane.status.output_bytes))}", style="bright_black"),
        subtitle_align="right",
        width=grid.width,
        height=grid.height,
        border_style=outcome_style(pane.status).removeprefix("bold ") if pane.status.is_final else "bright_black",
        padding=(0, 1),
    )


def _title(job: JobStatus, width: int, now: datetime) -> Text:
    """Return name, if it has one, or command, state and time, in *width* cells: what comes first gives way."""
    duration = duration_of(job, now=now)
    end = f" · {outcome(job)}" + ("" if duration is None else f" {format_duration(duration)}")
    mark = _MARKS.get(job.state, "✗") if not job.exit_code else "✗"
    name = visible(job.name)
    command = f"{name}: {command_line(job, longest=width)}" if name else command_line(job, longest=width)
    room = max(4, width - cell_len(end) - 2)
    if cell_len(command) > room:
        command = set_cell_size(command, room - 1) + "…"
    style = outcome_style(job)
    return Text.assemble(
        (f"{mark} ", style), (command, "bold default"), (end, style), no_wrap=True, overflow="ellipsis"
    )


def _footer(panes: Sequence[Pane], shown: int, width: int, news: str) -> Text:
    hidden = len(panes) - shown
    counts = _counted([pane.status for pane in panes])
    more = f"{hidden} more do not fit · " if hidden else ""
    last = news or "Ctrl-C leaves, jobs go on"
    text = Text(f" {more}{counts} · {last}", style="bright_black", no_wrap=True, overflow="ellipsis")
    text.truncate(width, overflow="ellipsis")
    return text


def _counted(jobs: Sequence[JobStatus]) -> str:
    counts = Counter(outcome(job) for job in jobs)
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def summary_text(jobs: Sequence[JobStatus], *, took: timedelta) -> Text:
    """Return the line at the end: how many jobs, how they ended, how long it was watched."""
    worst = max((_badness(job) for job in jobs), default=0)
    style = ("green", "yellow", "red")[worst]
    noun = "job" if len(jobs) == 1 else "jobs"
    return Text.assemble((f"{len(jobs)} {noun}", "bold"), ": ", (_counted(jobs), style), f" · {format_duration(took)}")


def _badness(job: JobStatus) -> int:
    if job.state is JobState.EXITED:
        return 2 if job.exit_code else 0
    return 1 if job.state is JobState.STOPPED or not job.is_final else 2
