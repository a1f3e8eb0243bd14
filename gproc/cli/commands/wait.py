"""``gproc wait``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from gproc.cli.command import DURATION, JSON_OPTION, Command, complete_live_job_ids
from gproc.cli.console import note
from gproc.cli.session import resolve_ids, with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId, JobStatus

__all__ = ["command"]


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

    Exits with the job's code; of several jobs, with the first code, in the order given, that is not 0.
    """
    from gproc.cli.show import show_jobs

    statuses = with_client(ctx, lambda client: _wait(client, jobs, any_of_them=any_of_them, patience=timeout))
    show_jobs(statuses, as_json=as_json, alone=len(jobs) == 1)
    return next((status.shell_code for status in statuses if status.shell_code), 0)


async def _wait(
    client: Client, jobs: Sequence[str], *, any_of_them: bool, patience: timedelta | None
) -> list[JobStatus]:
    from gproc.errors import DeadlineExceeded, Unavailable

    ids = await resolve_ids(client, jobs)
    try:
        async with asyncio.timeout(None if patience is None else patience.total_seconds()):
            return await _waiting(client, ids, asyncio.FIRST_COMPLETED if any_of_them else asyncio.FIRST_EXCEPTION)
    except TimeoutError:
        raise DeadlineExceeded(f"wait {' '.join(jobs)}: not ended in time; what has not ended goes on") from None
    except (asyncio.CancelledError, Unavailable):
        note(f"stopped waiting; what has not ended goes on; wait again: gproc wait {' '.join(ids)}")
        raise


async def _waiting(client: Client, ids: Sequence[JobId], until: str) -> list[JobStatus]:
    """Wait for all ids at once; return those that have ended, in order, or raise the first failure."""
    from gproc.cli.live.waiting import waiting_on

    async with waiting_on(client, broken="connecting again, the job goes on") as waiting:

        async def wait(job_id: JobId) -> JobStatus:
            with waiting.job(job_id):
                return await client.wait(job_id, on_break=waiting.on_break)

        tasks = [asyncio.ensure_future(wait(job_id)) for job_id in ids]
        try:
            done, _ = await asyncio.wait(tasks, return_when=until)
            return [task.result() for task in tasks if task in done]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
