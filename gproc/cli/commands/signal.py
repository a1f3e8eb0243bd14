"""``gproc signal``."""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING

import click

from gproc.cli.command import JSON_OPTION, SIGNAL, Command, complete_live_job_ids
from gproc.cli.session import resolve_id, with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobStatus

__all__ = ["command"]


@click.command("signal", cls=Command)
@click.argument("job", metavar="ID", shell_complete=complete_live_job_ids)
@click.argument("signal", metavar="SIGNAL", type=SIGNAL)
@JSON_OPTION
@click.pass_context
def command(ctx: click.Context, /, job: str, signal: Signals, as_json: bool) -> int:
    """Send a signal to a running job.

    SIGNAL is a name or a number: HUP, SIGHUP, 1. Every process of the job's group gets it.

    ID may be a name, too: of jobs with the same name, the one that is not over is meant.
    """
    from gproc.cli.show import show_jobs

    show_jobs([with_client(ctx, lambda client: _send(client, job, signal))], as_json=as_json, alone=True)
    return 0


async def _send(client: Client, job: str, signal: Signals) -> JobStatus:
    return await client.signal(await resolve_id(client, job, prefers_alive=True), signal)
