"""``gproc list``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import JOB, JSON_OPTION, ONE_OR_MORE, Command
from gproc.cli.console import note
from gproc.cli.job_options import selection
from gproc.cli.session import with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobState, JobStatus

__all__ = ["command"]

_LIMIT = 100
_STATES = ("pending", "running", "stopping", "exited", "signaled", "stopped", "timed_out", "lost")
_FAILED = ("exited", "signaled", "timed_out", "lost")
"""States of jobs that may have failed: whether one that exited did is in its code."""


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
    "--failed", is_flag=True, help="Only jobs that timed out, were killed or lost, or exited with another code than 0."
)
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
@click.option("-q", "--quiet", is_flag=True, help="Print ids and nothing else, for $(...).")
@JSON_OPTION
@click.pass_context
def command(
    ctx: click.Context, /, as_json: bool, quiet: bool, limit: int | None, everything: bool, **options: Any
) -> int:
    """List your jobs, newest first.

    A very long command is cut, on a terminal at its width, and there a very long name, too; --json cuts nothing. A !
    behind the size of the output means that not all of it could be kept.
    """
    from gproc.cli.show import show_jobs

    if everything and limit is not None:
        raise click.UsageError("--all and --limit: give one of them")
    if quiet and as_json:
        raise click.UsageError("--quiet and --json: give one of them")
    query, limit = _query(**options), limit or _LIMIT
    most = None if everything else limit + 1
    jobs = with_client(ctx, lambda client: _ask(client, query, most, only_failed=options["failed"]))
    shown = jobs if everything else jobs[:limit]
    if quiet:
        sys.stdout.write("".join(f"{job.id}\n" for job in shown))
    else:
        show_jobs(shown, as_json=as_json)
    if len(shown) < len(jobs):
        note(f"these are the newest {limit}; --all shows all")
    elif not (shown or as_json or quiet):
        note("no jobs" if not any(query.values()) else "no jobs match")
    return 0


async def _ask(client: Client, query: dict[str, Any], limit: int | None, *, only_failed: bool) -> list[JobStatus]:
    from contextlib import aclosing

    jobs: list[JobStatus] = []
    page_size = 1000 if limit is None or only_failed else min(limit, 1000)
    async with aclosing(client.list(**query, page_size=page_size)) as found:
        async for job in found:
            if only_failed and (job.state.value, job.exit_code) == ("exited", 0):
                continue
            jobs.append(job)
            if len(jobs) == limit:
                break
    return jobs


def _query(
    *, states: tuple[str, ...], running: bool, failed: bool, labels: tuple[str, ...], name: str | None
) -> dict[str, Any]:
    wanted = _states(states, running=running, failed=failed)
    return {"states": wanted, "labels": selection(labels), "name": name or ""}


def _states(states: tuple[str, ...], *, running: bool, failed: bool) -> frozenset[JobState]:
    """Return the states that were asked for; none means all."""
    from gproc.model import LIVE_STATES, JobState

    named = frozenset(JobState(state) for state in states)
    if running and failed:
        raise click.UsageError("--running and --failed: no job is both; give one of them")
    if not (running or failed):
        return named
    option, group = ("--running", LIVE_STATES) if running else ("--failed", frozenset(map(JobState, _FAILED)))
    if named - group:
        other = next(state for state in states if JobState(state) not in group)
        raise click.UsageError(f"{option} and --state {other}: no job is both; give one of them")
    return named or group
