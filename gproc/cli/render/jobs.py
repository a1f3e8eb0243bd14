"""Jobs as tables, cards and lines: for a terminal with rich, for a pipe as aligned plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from gproc.cli.job_options import limit_name
from gproc.cli.render.escape import visible
from gproc.model import JobState, JobStatus
from gproc.model.document import Document, format_time
from gproc.model.units import format_duration, format_size

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "STATE_STYLES",
    "card_lines",
    "command_line",
    "duration_of",
    "job_card",
    "job_table",
    "json_text",
    "outcome",
    "plain_table",
    "short_ids",
]

STATE_STYLES: Mapping[JobState, str] = {
    JobState.PENDING: "cyan",
    JobState.RUNNING: "bold green",
    JobState.STOPPING: "yellow",
    JobState.EXITED: "",
    JobState.SIGNALED: "red",
    JobState.STOPPED: "magenta",
    JobState.TIMED_OUT: "red",
    JobState.LOST: "bold red",
}

_SHORTEST_ID = 12
_LONGEST_COMMAND = 2000
_TENTH = timedelta(milliseconds=100)
_FIRST_UNIT = re.compile(r"[0-9.]+[a-z]")
_NEEDS_QUOTES = re.compile(r"[^A-Za-z0-9_@%+=:,./-]")


def json_text(value: Document | Sequence[Document]) -> str:
    """Return *value* as JSON for people and programs; ends with a newline."""
    return json.dumps(value, indent=2) + "\n"


def command_line(job: JobStatus, *, longest: int | None = None) -> str:
    """Return what the job runs as one would type it, on one line, safe to show; cut if it is longer than *longest*."""
    words, room = [], longest
    for word in (job.command, *job.args):
        if room is not None and len(word) >= room:
            words.append(_quoted(visible(word[:room] + "…")))
            break
        words.append(_quoted(visible(word)))
        room = None if room is None else room - len(word) - 1
    return " ".join(words)


def _quoted(word: str) -> str:
    if word and _NEEDS_QUOTES.search(word) is None:
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def short_ids(ids: Sequence[str], *, shortest: int = _SHORTEST_ID) -> dict[str, str]:
    """Return a beginning of each id: all equally long, long enough to tell them apart, never below *shortest*."""
    ordered = sorted(set(ids))
    length = shortest
    for one, next_one in pairwise(ordered):
        length = max(length, 1 + _common_length(one, next_one))
    return {job_id: job_id[:length] for job_id in ids}


def _common_length(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def duration_of(job: JobStatus, *, now: datetime) -> timedelta | None:
    """Return how long the job ran, or has been running; None if it never did."""
    if job.started_at is None:
        return None
    return max(timedelta(0), (job.ended_at or now) - job.started_at)


def outcome(job: JobStatus) -> str:
    """Return the state and what belongs to it in a few words: ``exited 7``, ``stopped SIGTERM``."""
    word = job.state.value.replace("_", " ")
    if job.exit_code is not None:
        return f"{word} {job.exit_code}"
    return f"{word} {visible(job.signal)}" if job.signal else word


def outcome_style(job: JobStatus) -> str:
    """Return the style of `outcome`: an exit code that is not 0 is red."""
    if job.state is JobState.EXITED:
        return "red" if job.exit_code else "green"
    return STATE_STYLES[job.state]


def _lasted(duration: timedelta | None) -> str:
    """Return a duration cut off, not rounded: no job is to seem to have run for longer than it has been there."""
    return "-" if duration is None else format_duration(duration - duration % _TENTH)


def _ago(moment: datetime | None, now: datetime) -> str:
    return _lasted(None if moment is None else now - moment)


def _age(moment: datetime | None, now: datetime) -> str:
    """Return an age in one unit: in a list it only tells old from new."""
    ago = _ago(moment, now)
    unit = _FIRST_UNIT.match(ago)
    return unit[0] if unit else ago


def _took(job: JobStatus, now: datetime) -> str:
    return _lasted(duration_of(job, now=now))


def _written(job: JobStatus) -> str:
    """Return how much the job wrote, marked if some of it was dropped; the mark takes the place of the space."""
    size = format_size(job.output_bytes)
    return f"{size.replace(' ', '')}!" if job.dropped_bytes else size


def _row(job: JobStatus, shown_id: str, now: datetime, longest: int | None = None) -> tuple[str, ...]:
    return (
        shown_id,
        outcome(job),
        _age(job.created_at, now),
        _took(job, now),
        _written(job),
        visible(job.name),
        command_line(job, longest=longest),
    )


_HEADINGS = ("ID", "STATE", "AGE", "TOOK", "OUTPUT", "NAME", "COMMAND")
_RIGHT = frozenset({"AGE", "TOOK", "OUTPUT"})
_LEFT_OUT_FIRST = ("OUTPUT", "TOOK", "AGE", "COMMAND")
_SOME_COMMAND = 10
_SOME_NAME = 20
_BETWEEN = 2


def job_table(jobs: Sequence[JobStatus], *, now: datetime, width: int = 80) -> Table:
    """Return the jobs as a table for a terminal; the NAME column is there only if a job has a name.

    Where *width* cells are too few, numbers are left out and commands are cut; ids are not, and names only where they
    would take more than a third of it from all jobs.
    """
    from rich.table import Table
    from rich.text import Text

    shown = short_ids([job.id for job in jobs])
    rows = [dict(zip(_HEADINGS, _row(job, shown[job.id], now, width), strict=True)) for job in jobs]
    longest = {"NAME": max(_SOME_NAME, width // 3), "COMMAND": _SOME_COMMAND}
    columns = _fitting(_columns(any(job.name for job in jobs)), rows, width, longest)
    table = Table(box=None, header_style="bold bright_black", pad_edge=False, padding=(0, _BETWEEN, 0, 0))
    for heading in columns:
        justify: Literal["left", "right"] = "right" if heading in _RIGHT else "left"
        # A column that may be wrapped is one that gives way when there is no room; its cells are cut, not wrapped.
        gives_way = heading == ("COMMAND" if "COMMAND" in columns else "STATE")
        at_most = longest["NAME"] if heading == "NAME" else None
        table.add_column(heading.lower(), justify=justify, no_wrap=not gives_way, max_width=at_most)
    for job, row in zip(jobs, rows, strict=True):
        styles = {"ID": "cyan", "STATE": outcome_style(job), "COMMAND": "bold", "NAME": "yellow"}
        cells = (
            Text(row[heading], style=styles.get(heading, ""), no_wrap=True, overflow="ellipsis") for heading in columns
        )
        table.add_row(*cells)
    return table


def _columns(with_names: bool) -> list[str]:
    return [heading for heading in _HEADINGS if with_names or heading != "NAME"]


def _fitting(
    columns: list[str], rows: Sequence[Mapping[str, str]], width: int, longest: Mapping[str, int]
) -> list[str]:
    """Return the columns that have room; of some it is enough to show so much."""
    from rich.cells import cell_len

    needs = {
        column: min(longest.get(column, width), max([len(column), *(cell_len(row[column]) for row in rows)]))
        for column in columns
    }
    kept = list(columns)
    for column in _LEFT_OUT_FIRST:
        if sum(needs[one] + _BETWEEN for one in kept) - _BETWEEN > width:
            kept.remove(column)
    return kept


def plain_table(jobs: Sequence[JobStatus], *, now: datetime) -> str:
    """Return the jobs as aligned text for a pipe: whole ids and names, and commands unless they are very long."""
    with_names = any(job.name for job in jobs)
    rows = [dict(zip(_HEADINGS, _row(job, job.id, now, _LONGEST_COMMAND), strict=True)) for job in jobs]
    columns = _columns(with_names)
    widths = {column: max([len(column), *(len(row[column]) for row in rows)]) for column in columns}
    lines = [dict(zip(_HEADINGS, _HEADINGS, strict=True)), *rows]
    return "".join(
        "  ".join(
            line[column].rjust(widths[column]) if column in _RIGHT else line[column].ljust(widths[column])
            for column in columns
        ).rstrip()
        + "\n"
        for line in lines
    )


def card_lines(job: JobStatus, *, now: datetime) -> list[tuple[str, str]]:
    """Return everything known about a job as names and texts, in the order people want it."""
    output = format_size(job.output_bytes)
    if job.dropped_bytes:
        output += f", of which {format_size(job.dropped_bytes)} could not be kept"
    limits = sorted(f"{visible(limit_name(name))} {visible(how)}" for name, how in job.limits.items())
    lines = [
        ("id", job.id),
        ("name", visible(job.name)),
        ("command", command_line(job, longest=_LONGEST_COMMAND)),
        ("state", outcome(job)),
        ("reason", visible(job.reason)),
        ("owner", visible(job.owner)),
        ("stopped by", visible(job.stopped_by)),
        ("labels", ", ".join(f"{visible(k)}={visible(v)}" for k, v in sorted(job.labels.items()))),
        ("pid", str(job.pid) if job.pid and not job.is_final else ""),
        ("started", _moment(job.started_at or job.created_at, now)),
        ("ended", _moment(job.ended_at, now)),
        ("took", "" if job.started_at is None else _took(job, now)),
        ("output", output),
        ("used", _usage(job)),
        *((("" if n else "limits"), limit) for n, limit in enumerate(limits)),
    ]
    return [(name, text) for name, text in lines if text]


def _moment(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    # To the second, in UTC: a card is for people, --json has the microseconds.
    return f"{format_time(moment.replace(microsecond=0))[:19].replace('T', ' ')} UTC, {_ago(moment, now)} ago"


def _usage(job: JobStatus) -> str:
    if job.usage is None:
        return ""
    cpu = format_duration(timedelta(seconds=job.usage.cpu_seconds))
    return f"{cpu} of processor, {format_size(job.usage.max_rss_bytes)} of memory at most"


def job_card(job: JobStatus, *, now: datetime) -> Any:
    """Return one job as a card for a terminal."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black", justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in card_lines(job, now=now)[1:]:
        style = {"state": outcome_style(job), "command": "bold", "reason": "italic"}.get(name, "")
        grid.add_row(name, Text(text, style=style))
    title = Text(job.id, style="cyan")
    return Panel(grid, title=title, title_align="left", border_style=_border(job), padding=(0, 1))


def _border(job: JobStatus) -> str:
    return outcome_style(job).removeprefix("bold ") or "bright_black"
