"""How every command parses and helps: the base classes, and the types of option values."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, TextIO

import click

from gproc.cli.console import has_colour, is_terminal

__all__ = ["DURATION", "JSON_OPTION", "SIGNAL", "SIZE", "Command", "Group", "complete_job_ids", "job_command_arguments"]


class Command(click.Command):
    """A command whose help is drawn by rich-click on a terminal, and is plain text, at once, in a pipe."""

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return _drawn_help(self, ctx, sys.stdout) or super().get_help(ctx)


class Group(click.Group):
    """A group of commands, with the same help."""

    command_class = Command

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return _drawn_help(self, ctx, sys.stdout) or super().get_help(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; without any argument, show the help on standard error, as bad usage."""
        if not args and not ctx.resilient_parsing:  # click itself does this differently in each of its versions
            click.echo(_drawn_help(self, ctx, sys.stderr) or super().get_help(ctx), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)


def _drawn_help(command: click.Command, ctx: click.Context, stream: TextIO) -> str | None:
    if not (is_terminal(stream) and has_colour(stream)):
        return None
    # rich costs as much as all the rest of a help page together, so only those who see it pay for it.
    from gproc.cli.render.help import draw_help

    return draw_help(command, ctx)


class _Worded(click.ParamType[Any]):
    """A value that people write in words; `InvalidArgument` becomes bad usage."""

    def parse(self, text: str) -> Any:
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from gproc.errors import InvalidArgument

        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except InvalidArgument as error:
            self.fail(str(error).partition(": ")[2], param, ctx)


class _Duration(_Worded):
    name = "duration"

    def parse(self, text: str) -> timedelta:
        from gproc.model.units import parse_duration

        return parse_duration(text)


class _Signal(_Worded):
    name = "signal"

    def parse(self, text: str) -> Any:
        from gproc.model.units import parse_signal

        return parse_signal(text)


class _Size(_Worded):
    name = "size"

    def parse(self, text: str) -> int:
        from gproc.model.units import parse_size

        return parse_size(text)


DURATION, SIGNAL, SIZE = _Duration(), _Signal(), _Size()

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def job_command_arguments(function: Any) -> Any:
    """Add ``COMMAND [ARG...]``: after COMMAND nothing is parsed, and ``--`` may stand before it."""
    function = click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[ARG]...")(function)
    return click.argument("program", metavar="COMMAND", type=click.UNPROCESSED)(function)


def complete_job_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Any:
    """Return the ids that the server knows and that begin with what was typed; none if it does not answer soon."""
    from gproc.cli.complete import job_ids

    return job_ids(ctx, incomplete)
