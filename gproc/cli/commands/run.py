"""``gproc run``."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import termios
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import Command
from gproc.cli.job_options import job_options, job_request
from gproc.cli.session import with_client

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobRequest

__all__ = ["command"]

_AT_ONCE = 0.05  # seconds


@click.command(
    "run",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    epilog="Ctrl-C goes to the job; a second one stops it. After COMMAND nothing is parsed.",
)
@click.option(
    "-i", "--stdin", "with_stdin", is_flag=True, help="Pass standard input to the job (this server cannot yet)."
)
@click.option("-t", "--tty", "with_tty", is_flag=True, help="Run the job on a terminal (this server cannot yet).")
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
        raise Unimplemented(
            "run: something waits on standard input, and this server cannot pass it to a job; "
            "give the job its data in another way, or run it with </dev/null"
        )
    return with_client(ctx, lambda client: _run(client, request))


async def _run(client: Client, request: JobRequest) -> int:
    from gproc.cli.live import foreground

    return await foreground.listen(await foreground.submit(client, request), with_interrupts=True)


def _input_waits() -> bool:
    """Whether somebody wrote something for the job, which would be lost in silence.

    A pipe that stays open and empty, as jobs of cron and CI are given, is none of that.
    """
    try:
        mode = os.fstat(0).st_mode
        if stat.S_ISREG(mode):
            return os.lseek(0, 0, os.SEEK_CUR) < os.fstat(0).st_size
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return False
        select.select([0], [], [], _AT_ONCE)
        return int.from_bytes(fcntl.ioctl(0, termios.FIONREAD, bytes(4)), sys.byteorder) > 0
    except OSError:  # closed, or not for reading
        return False
