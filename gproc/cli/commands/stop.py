"""``gproc stop``."""

from __future__ import annotations

from datetime import timedelta
from signal import Signals
from typing import TYPE_CHECKING

import click

from gproc.cli.command import DURATION, JSON_OPTION, SIGNAL, Command, complete_live_job_ids
from gproc.cli.session import with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId, JobStatus

__all__ = ["command"]


@click.command("stop", cls=Command)
@click.argument("jobs", metavar="ID...", nargs=-1, required=True, shell_complete=complete_live_job_ids)
@click.option("--grace", type=DURATION, help="Wait this long before SIGKILL, else as the job was started with.")
@click.option("--signal", "first", type=SIGNAL, help="Send this signal first, else as the job was started with.")
@JSON_OPTION
@click.pass_context
def command(
    ctx: click.Context, /, jobs: tuple[str, ...], grace: timedelta | None, first: Signals | None, as_json: bool
) -> int:
    """Stop jobs and everything they started.

    Returns when they are gone: first the signal, then the grace period, then SIGKILL to all that is left.
    """
    from gproc.cli.each import for_each
    from gproc.cli.show import show_jobs

    async def stop(client: Client, job_id: JobId) -> JobStatus:
        return await client.stop(job_id, signal=first, grace=grace)

    results, code = with_client(ctx, lambda client: for_each(client, jobs, stop))
    if results or as_json:
        show_jobs(results, as_json=as_json, alone=len(jobs) == 1 and len(results) == 1)
    return code
