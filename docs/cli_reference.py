"""Write docs/reference/cli.md from the commands' own help. With ``--check``, only tell whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gproc.cli.main import cli

TARGET = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 100
HEAD = """\
# Commands

<!-- Written by docs/cli_reference.py from the commands' own help; change it there. -->

Each setting is taken from its option, else from the environment, else from the context: see `gproc context`.
Standard output carries data only; talk goes to standard error. With `--json`, standard output is one JSON document: an
object for one ID, an array for several and where none was given; the names of its fields are those of the
[service](service.md), states are words such as `running`, times are RFC 3339, and what is absent is left out. Of
`wait`, `stop` and `remove`, `{"job": …, "error": …}` stands for a job that failed or, after `wait --timeout`, has not
ended; another command that fails prints no document. [Exit codes](exit-codes.md) have a page of their own.

A server that was reached before and no longer answers is tried again for 60 s. Calls that answer at once give up after
30 s, and a server that never answered is given up after 10 s.

An id may be cut short as long as it is clear which job is meant.
"""


def main() -> int:
    """Write the page, or compare it."""
    page = HEAD + "".join(section(name, command) for name, command in commands(cli, "gproc"))
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page)
        return 0
    if TARGET.read_text() == page:
        return 0
    print(f"{TARGET}: not what the commands say; run `python docs/cli_reference.py` and commit", file=sys.stderr)
    return 1


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield *command* and all below it, each with its full name."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from commands(found, f"{name} {child}")


def section(name: str, command: click.Command) -> str:
    """Return the section of one command."""
    context = click.Context(
        command,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=cli.context_settings["help_option_names"],
    )
    return f"\n## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
