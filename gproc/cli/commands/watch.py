"""``gproc watch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from gproc.cli.command import Command, complete_job_ids
from gproc.cli.console import can_redraw, make_console, note, utc_now
from gproc.cli.session import resolve_ids, with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobStatus

__all__ = ["command"]

_TAIL = 100


@click.command("watch", cls=Command)
@click.argument("jobs", metavar="[ID]...", nargs=-1, shell_complete=complete_job_ids)
@click.option("--lines", "as_lines", is_flag=True, help="Print lines, each with its job before it, instead of panes.")
@click.pass_context
def command(ctx: click.Context, /, jobs: tuple[str, ...], as_lines: bool) -> int:
    """Watch jobs in live panes.

    Without ID: all your running jobs, and those that start meanwhile. Ends when the last of them has ended. Where
    there is no terminal, or one that cannot draw, prints lines with the name or short id of the job before each.
    """
    return with_client(ctx, lambda client: _watch(client, jobs, in_panes=can_redraw(sys.stdout) and not as_lines))


async def _watch(client: Client, jobs: Sequence[str], *, in_panes: bool) -> int:
    first = await _first(client, jobs)
    if not first:
        note("no job is running; `gproc list` shows those that have ended")
        return 0
    began = utc_now()
    ended = await (_in_panes if in_panes else _as_lines)(client, first, with_new_ones=not jobs)
    _sum_up(ended, utc_now() - began, with_table=in_panes)
    return 0


async def _first(client: Client, jobs: Sequence[str]) -> list[JobStatus]:
    from gproc.model import LIVE_STATES

    if jobs:
        return [await client.status(job_id) for job_id in await resolve_ids(client, jobs)]
    async with aclosing(client.list(states=LIVE_STATES)) as found:
        return [job async for job in found][::-1]


async def _in_panes(client: Client, first: Sequence[JobStatus], *, with_new_ones: bool) -> list[JobStatus]:
    from gproc.cli.live.panes import LivePanes
    from gproc.cli.live.watching import follow_jobs

    with LivePanes(make_console()) as panes:
        return await follow_jobs(
            client, first, panes, with_new_ones=with_new_ones, tail_lines=_TAIL, redraw=panes.redraw
        )


async def _as_lines(client: Client, first: Sequence[JobStatus], *, with_new_ones: bool) -> list[JobStatus]:
    from gproc.cli.live.prefixed import PrefixedLines
    from gproc.cli.live.watching import follow_jobs

    with PrefixedLines() as lines:
        ended = await follow_jobs(client, first, lines, with_new_ones=with_new_ones)
        await lines.finish()
        return ended


def _sum_up(jobs: Sequence[JobStatus], took: timedelta, *, with_table: bool) -> None:
    from gproc.cli.render.jobs import job_table
    from gproc.cli.render.panes import summary_text

    console = make_console(sys.stderr)
    if with_table:
        console.print(job_table(jobs, now=utc_now(), width=console.width))
    console.print(summary_text(jobs, took=took))
