"""``gproc doctor``."""

from __future__ import annotations

import sys

import click

from gproc.cli.command import JSON_OPTION, Command
from gproc.cli.console import is_terminal, paint

__all__ = ["command"]


@click.command("doctor", cls=Command)
@JSON_OPTION
@click.pass_context
def command(ctx: click.Context, /, as_json: bool) -> int:
    """Find out what is wrong with a connection.

    Looks at settings, files, certificates, name, port, TLS and the server's answer, in this order, and says what to do
    about the first that is wrong. Exits with 0 if all is well, with 125 if not.
    """
    from gproc.cli.checks import MARKS, Check, Verdict, run_checks
    from gproc.cli.render.escape import visible
    from gproc.cli.render.jobs import json_text

    checks: list[Check] = []
    for check in run_checks(ctx):
        checks.append(check)
        if not as_json:
            mark, colour = MARKS[check.verdict]
            detail, advice = _right_of(15, visible(check.detail)), _right_of(17, visible(check.advice))
            click.echo(f"{paint(mark, colour, sys.stdout)} {check.name:<11}  {detail}")
            if advice:
                click.echo(f"{'':13}  {paint('→', colour, sys.stdout)} {advice}")
    if as_json:
        sys.stdout.write(json_text([check.document() for check in checks]))
    return 125 if any(check.verdict is Verdict.BAD for check in checks) else 0


def _right_of(indent: int, text: str) -> str:
    """Return *text* broken between words where a terminal is too narrow for it, which would break it anywhere."""
    if not is_terminal(sys.stdout):
        return text
    import shutil
    import textwrap

    room = max(20, shutil.get_terminal_size().columns - indent)
    return f"\n{'':{indent}}".join(textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False))
