"""``gproc attach``."""

from __future__ import annotations

import click

from gproc.cli.command import Command, complete_live_job_ids

__all__ = ["command"]


@click.command("attach", cls=Command)
@click.argument("job", metavar="ID", shell_complete=complete_live_job_ids)
def command(job: str) -> int:
    """Join a running job's input, output and terminal.

    Servers of this version have no input and no terminals to join: `gproc output` shows the output.
    """
    from gproc.errors import Unimplemented

    raise Unimplemented(f"attach {job}: this server cannot do that; `gproc output {job}` follows its output")
