"""``gproc list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import JOB, JSON_OPTION, ONE_OR_MORE, Command
from gproc.cli.console import note
from gproc.cli.job_options import pairs
from gproc.cli.session import with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobStatus

__all__ = ["command"]

_LIMIT = 100
_STATES = ("pending", "running", "stopping", "exited", "signaled", "stopped", "timed_out", "lost")


@click.command("list", cls=Command)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES),
    metavar="STATE",
    help=f"Only this state, of {', '.join(_STATES)}; may be repeated, for any of them.",
)
@click.option("--running", is_flag=True, help="Only jobs that have not ended.")
@click.option(
    "--label",
    "labels",
    metavar="K=V",
    multiple=True,
    help="Only jobs with this label; may be repeated, for all of them.",
)
@click.option("--name", metavar="NAME", type=JOB, help="Only jobs with this name.")
@click.option("--limit", type=ONE_OR_MORE, metavar="N", help="The newest N (100).")
@click.option("-a", "--all", "everything", is_flag=True, help="All of them, however many.")
@JSON_OPTION
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, limit: int | None, everything: bool, **options: Any) -> int:
    """List your jobs, newest first.

    A very long command is cut, on a terminal at its width; --json cuts nothing. A ! behind the size of the output means
    that not all of it could be kept.
    """
    from gproc.cli.show import show_jobs

    if everything and limit is not None:
        raise click.UsageError("--all and --limit: give one of them")
    query, limit = _query(**options), limit or _LIMIT
    jobs = with_client(ctx, lambda client: _ask(client, query, None if everything else limit + 1))
    shown = jobs if everything else jobs[:limit]
    show_jobs(shown, as_json=as_json)
    if len(shown) < len(jobs):
        note(f"these are the newest {limit}; --all shows all")
    elif not shown and not as_json:
        note("no jobs" if not any(query.values()) else "no jobs match")
    return 0


async def _ask(client: Client, query: dict[str, Any], limit: int | None) -> list[JobStatus]:
    from contextlib import aclosing

    jobs: list[JobStatus] = []
    async with aclosing(client.list(**query, page_size=min(limit or 1000, 1000))) as found:
        async for job in found:
            jobs.append(job)
            if len(jobs) == limit:
                break
    return jobs


def _query(*, states: tuple[str, ...], running: bool, labels: tuple[str, ...], name: str | None) -> dict[str, Any]:
    from gproc.model import LIVE_STATES, JobState

    wanted = {JobState(state) for state in states}
    if running:
        if wanted - LIVE_STATES:
            over = next(state for state in states if JobState(state) not in LIVE_STATES)
            raise click.UsageError(f"--running and --state {over}: no job is both; give one of them")
        wanted = wanted or set(LIVE_STATES)
    return {"states": frozenset(wanted), "labels": pairs(labels, "--label"), "name": name or ""}
