"""``gproc remove``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gproc.cli.command import JSON_OPTION, Command, complete_over_job_ids
from gproc.cli.session import resolve_id, with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId

__all__ = ["command"]


@click.command("remove", cls=Command)
@click.argument("jobs", metavar="ID...", nargs=-1, required=True, shell_complete=complete_over_job_ids)
@JSON_OPTION
@click.pass_context
def command(ctx: click.Context, /, jobs: tuple[str, ...], as_json: bool) -> int:
    """Forget finished jobs and their output.

    Prints the ids of the jobs that were removed. A running job must be stopped first.
    """
    from gproc.cli.each import for_each
    from gproc.cli.show import show_documents

    done = with_client(ctx, lambda client: for_each(jobs, lambda job: _remove(client, job)))
    if as_json:
        show_documents([{"id": job_id, "removed": True} for job_id in done.results], done)
    else:
        sys.stdout.write("".join(f"{job_id}\n" for job_id in done.results))
    return done.code


async def _remove(client: Client, job: str) -> JobId:
    job_id = await resolve_id(client, job)
    await client.remove(job_id)
    return job_id
