"""``gproc run``."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import sys
import termios
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import Command
from gproc.cli.console import note
from gproc.cli.job_options import job_options, job_request
from gproc.cli.session import with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobRequest

__all__ = ["command"]


@click.command(
    "run",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    epilog="Ctrl-C goes to the job; a second one stops it. After COMMAND nothing is parsed.",
)
@click.option("-i", "--stdin", "with_stdin", is_flag=True, help="Pass standard input to the job.")
@click.option("-t", "--tty", "with_tty", is_flag=True, help="Run the job on a terminal.")
@job_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    program: str,
    args: tuple[str, ...],
    with_stdin: bool,
    with_tty: bool,
    **options: Any,
) -> int:
    """Run a job, show its output, and exit with its code."""
    from gproc.errors import Unimplemented

    if with_stdin or with_tty:
        option, what = ("-t", "give a job a terminal") if with_tty else ("-i", "pass standard input to a job")
        raise Unimplemented(f"run {option}: this server cannot {what}; run it without {option}")
    request = job_request(program, args, options)
    if _input_waits():
        note("standard input is not passed to the job: this server cannot do that")
    return with_client(ctx, lambda client: _run(client, request))


async def _run(client: Client, request: JobRequest) -> int:
    from gproc.cli.live.follow import copy_output
    from gproc.cli.live.interrupts import Interrupts

    job = await client.submit(request)
    output = job.output()
    try:
        async with Interrupts(job):
            status = await copy_output(output)
    except asyncio.CancelledError:
        note(f"left; the job goes on: gproc stop {job.id} ends it")
        raise
    return 125 if status is None else status.shell_code


def _input_waits() -> bool:
    """Whether somebody wrote something for the job, which would be lost in silence."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if stat.S_ISREG(mode):
            return os.fstat(sys.stdin.fileno()).st_size > 0
        if stat.S_ISFIFO(mode):
            waiting = fcntl.ioctl(sys.stdin.fileno(), termios.FIONREAD, bytes(4))
            return int.from_bytes(waiting, sys.byteorder) > 0
    except (OSError, ValueError, AttributeError):  # closed, or not there
        pass
    return False
