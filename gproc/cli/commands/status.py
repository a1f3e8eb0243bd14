"""``gproc status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gproc.cli.command import JSON_OPTION, Command, complete_job_ids
from gproc.cli.session import resolve_id, with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobStatus

__all__ = ["command"]


@click.command("status", cls=Command)
@click.argument("job", metavar="ID", shell_complete=complete_job_ids)
@JSON_OPTION
@click.pass_context
def command(ctx: click.Context, /, job: str, as_json: bool) -> int:
    """Tell how a job is.

    ID may be the whole id, the beginning of it, or the job's name, as long as only one of your jobs is meant.
    """
    from gproc.cli.show import show_job

    show_job(with_client(ctx, lambda client: _ask(client, job)), as_json=as_json)
    return 0


async def _ask(client: Client, job: str) -> JobStatus:
    return await client.status(await resolve_id(client, job))
