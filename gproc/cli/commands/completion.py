"""``gproc completion``."""

from __future__ import annotations

import click

from gproc.cli.command import Command

__all__ = ["command"]


@click.command(
    "completion", cls=Command, epilog='bash: eval "$(gproc completion bash)"   fish: gproc completion fish | source'
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, /, shell: str) -> int:
    """Print what makes a shell complete commands and job ids.

    SHELL is bash, zsh or fish. Put the line below into the shell's start-up file.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:  # Choice has made sure; click's own table is what could change
        raise click.UsageError(f"there is no completion for {shell!r}")
    click.echo(_without_probe(kind, ctx.find_root().command))
    return 0


def _without_probe(kind: type, root: click.Command) -> str:
    """Return the script; click's own `source` would first start bash to ask for its version, for a warning at most."""
    complete = kind(root, {}, "gproc", "_GPROC_COMPLETE")
    script: str = complete.source_template % complete.source_vars()
    return script
