"""``gproc stop``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from signal import Signals
from typing import TYPE_CHECKING

import click

from gproc.cli.command import DURATION, JSON_OPTION, SIGNAL, Command, complete_live_job_ids
from gproc.cli.console import note
from gproc.cli.job_options import selection
from gproc.cli.session import resolve_id, with_client

if TYPE_CHECKING:
    from gproc.cli.each import Outcomes
    from gproc.client import Client
    from gproc.model import JobId, JobStatus

__all__ = ["command"]


@click.command("stop", cls=Command)
@click.argument("jobs", metavar="[ID]...", nargs=-1, shell_complete=complete_live_job_ids)
@click.option(
    "--label",
    "labels",
    metavar="K=V",
    multiple=True,
    help="Instead of ID: all jobs with this label; may be repeated, for all of them.",
)
@click.option("--grace", type=DURATION, help="Wait this long before SIGKILL, else as the job was started with.")
@click.option("--signal", "first", type=SIGNAL, help="Send this signal first, else as the job was started with.")
@JSON_OPTION
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    jobs: tuple[str, ...],
    labels: tuple[str, ...],
    grace: timedelta | None,
    first: Signals | None,
    as_json: bool,
) -> int:
    """Stop jobs and everything they started.

    Returns when they are gone: first the signal, then the grace period, then SIGKILL to all that is left.

    ID may be a name, too: of jobs with the same name, the one that is not over is meant.
    """
    from gproc.cli.show import show_outcomes

    if bool(jobs) == bool(labels):
        raise click.UsageError("ID or --label: give one of them")
    wanted = selection(labels)
    done = with_client(ctx, lambda client: _stop(client, jobs, wanted, first, grace))
    if labels:
        done = replace(done, is_one=False)  # as many as there are was asked for, even if that is one
    show_outcomes(done.results, done, as_json=as_json)
    if not (done.results or done.failures or as_json):
        note("no running jobs match")
    return done.code


async def _stop(
    client: Client,
    jobs: Sequence[str],
    labels: Mapping[str, str],
    first: Signals | None,
    grace: timedelta | None,
) -> Outcomes[JobStatus]:
    from gproc.cli.each import for_each
    from gproc.cli.live.waiting import waiting_on

    left: list[JobId] = []
    async with waiting_on(client, broken="trying again") as waiting:

        async def stop(job: str) -> JobStatus:
            job_id = await resolve_id(client, job, prefers_alive=True)
            try:
                with waiting.job(job_id):
                    return _gone(await client.stop(job_id, signal=first, grace=grace, on_break=waiting.on_break))
            except asyncio.CancelledError:
                left.append(job_id)
                raise

        try:
            return await for_each(jobs or await _alive(client, labels), stop)
        except asyncio.CancelledError:
            _tell_that_it_goes_on(left)
            raise


def _tell_that_it_goes_on(jobs: Sequence[JobId]) -> None:
    if len(jobs) == 1:
        note(f"left; the server goes on stopping the job: gproc wait {jobs[0]} tells when it is gone")
    elif jobs:
        note(f"left; the server goes on stopping {len(jobs)} jobs: gproc list --state stopping shows them")


async def _alive(client: Client, labels: Mapping[str, str]) -> list[JobId]:
    from contextlib import aclosing

    from gproc.model import LIVE_STATES

    async with aclosing(client.list(states=LIVE_STATES, labels=labels)) as found:
        return [job.id async for job in found]


def _gone(job: JobStatus) -> JobStatus:
    """Return *job* if it has ended; raise `Unavailable` if the server could not find out in time."""
    from gproc.errors import Unavailable

    if job.is_final:
        return job
    why = f" ({job.reason})" if job.reason else ""
    raise Unavailable(
        f"job {job.id}: was asked to stop, and is still {job.state.value}{why}; "
        f"look at it with `gproc status {job.id}`, or stop it again"
    )
