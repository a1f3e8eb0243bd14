"""``gproc wait``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from gproc.cli.command import DURATION, JSON_OPTION, Command, complete_live_job_ids
from gproc.cli.console import note
from gproc.cli.session import resolve_id, with_client

if TYPE_CHECKING:
    from gproc.cli.each import Outcomes
    from gproc.client import Client
    from gproc.errors import GprocError
    from gproc.model import JobStatus

__all__ = ["command"]

_LAST_LOOK_SECONDS = 1.0


@click.command("wait", cls=Command)
@click.argument("jobs", metavar="ID...", nargs=-1, required=True, shell_complete=complete_live_job_ids)
@click.option("--any", "any_of_them", is_flag=True, help="Until one of them has ended.")
@click.option("--timeout", type=DURATION, help="Give up after this time; the jobs go on.")
@JSON_OPTION
@click.pass_context
def command(
    ctx: click.Context, /, jobs: tuple[str, ...], any_of_them: bool, timeout: timedelta | None, as_json: bool
) -> int:
    """Wait until jobs have ended.

    Exits with the job's code; of several jobs, with the first code, in the order given, that is not 0;
    with 125 if one of them could not be waited for. The others are waited for all the same.
    """
    from gproc.cli.show import show_outcomes

    done = with_client(ctx, lambda client: _wait(client, jobs, any_of_them=any_of_them, patience=timeout))
    statuses = list({status.id: status for status in done.results}.values())
    show_outcomes(statuses, done, as_json=as_json)
    return done.code or next((status.shell_code for status in statuses if status.shell_code), 0)


async def _wait(
    client: Client, jobs: Sequence[str], *, any_of_them: bool, patience: timedelta | None
) -> Outcomes[JobStatus]:
    from gproc.cli.each import summed_up, told
    from gproc.errors import Unavailable

    unique = list(dict.fromkeys(jobs))
    try:
        came = await _came(client, unique, any_of_them=any_of_them, patience=patience)
    except asyncio.CancelledError:
        _tell_that_they_go_on(jobs)
        raise
    if client.may_have_asked and any(isinstance(outcome, Unavailable) for outcome in came):
        _tell_that_they_go_on(jobs)
    if not any_of_them or came.count(None) == len(came):
        came = [told(_too_late(job)) if outcome is None else outcome for job, outcome in zip(unique, came, strict=True)]
    return summed_up(unique, came)


def _too_late(job: str) -> GprocError:
    from gproc.errors import DeadlineExceeded

    return DeadlineExceeded(f"job {job}: has not ended in time, and goes on; wait again: gproc wait {job}")


async def _came(
    client: Client, jobs: Sequence[str], *, any_of_them: bool, patience: timedelta | None
) -> list[JobStatus | GprocError | None]:
    """Wait for all jobs at once; return what came of each, None if nothing did before the waiting was over."""
    from gproc.cli.each import telling
    from gproc.cli.live.waiting import waiting_on

    async with waiting_on(client, broken="connecting again, the job goes on") as waiting:

        async def wait(job: str) -> JobStatus:
            job_id = await resolve_id(client, job)
            with waiting.job(job_id):
                return await client.wait(job_id, on_break=waiting.on_break)

        tasks = [asyncio.ensure_future(telling(wait(job))) for job in jobs]
        try:
            seconds = None if patience is None else patience.total_seconds()
            until = asyncio.FIRST_COMPLETED if any_of_them else asyncio.ALL_COMPLETED
            done, late = await asyncio.wait(tasks, timeout=seconds, return_when=until)
            came = [task.result() if task in done else None for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if not late or (any_of_them and done):
        return came
    return await asyncio.gather(*(_or_ended(outcome, client, job) for job, outcome in zip(jobs, came, strict=True)))


async def _or_ended(outcome: JobStatus | GprocError | None, client: Client, job: str) -> JobStatus | GprocError | None:
    """Return *outcome*; if there is none, the status of a job that has ended: the time may have been too short."""
    from gproc.errors import GprocError

    if outcome is not None:
        return outcome
    with suppress(GprocError, TimeoutError):
        async with asyncio.timeout(_LAST_LOOK_SECONDS):
            status = await client.status(await resolve_id(client, job))
            return status if status.is_final else None
    return None


def _tell_that_they_go_on(jobs: Sequence[str]) -> None:
    note(f"stopped waiting; what has not ended goes on; wait again: gproc wait {' '.join(jobs)}")
