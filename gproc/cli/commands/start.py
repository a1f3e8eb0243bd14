"""``gproc start``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import Command
from gproc.cli.console import note
from gproc.cli.job_options import job_options, job_request
from gproc.cli.session import with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId, JobRequest

__all__ = ["command"]


@click.command(
    "start",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    epilog="After COMMAND nothing is parsed: `gproc start ls --help` passes --help to ls.",
)
@click.option("-l", "--listen", is_flag=True, help="Then show its output and exit with its code; Ctrl-C only leaves.")
@job_options
@click.pass_context
def command(ctx: click.Context, /, program: str, args: tuple[str, ...], listen: bool, **options: Any) -> int:
    """Start a job and print its id.

    The id, alone, goes to standard output; with --listen it goes to standard error.
    """
    request = job_request(program, args, options)
    return with_client(ctx, lambda client: _start(client, request, listen=listen))


async def _start(client: Client, request: JobRequest, *, listen: bool) -> int:
    from gproc.cli.live import foreground

    job = await foreground.submit(client, request)
    _print_id(job.id, listen=listen)
    return await foreground.listen(job, with_interrupts=False) if listen else 0


def _print_id(job_id: JobId, *, listen: bool) -> None:
    """Print the id; if it cannot be, say it to people instead, for the job runs, and raise the `OSError`."""
    try:
        print(job_id, file=sys.stderr if listen else sys.stdout, flush=True)
    except OSError:
        note(f"the job was started, and its id could not be printed: {job_id}; `gproc stop {job_id}` ends it")
        raise
