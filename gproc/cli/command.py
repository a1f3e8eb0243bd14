"""How every command parses and helps: the base classes, and the types of option values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import click

from gproc.cli.commands import ELSEWHERE
from gproc.cli.console import has_colour, is_terminal

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "CONTEXT",
    "COUNT",
    "CPUS",
    "DIRECTORY",
    "DIRECTORY_PATH",
    "DURATION",
    "FILE",
    "FILE_PATH",
    "JOB",
    "JSON_OPTION",
    "OFFSET",
    "ONE_OR_MORE",
    "OPEN_FILES",
    "REQUEST",
    "SERVER",
    "SIGNAL",
    "SIZE",
    "Command",
    "Group",
    "complete_contexts",
    "complete_job_ids",
    "complete_live_job_ids",
    "complete_over_job_ids",
    "job_command_arguments",
]


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command and its arguments; an unknown one is bad usage, with what may have been meant."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not ctx.resilient_parsing:
            meant = _meant_by(args[0], known, ctx.command_path)
            raise click.UsageError(f"there is no command {args[0]!r}; {meant}", ctx)
        return super().resolve_command(ctx, args)


def _meant_by(word: str, known: Sequence[str], path: str) -> str:
    if (here := ELSEWHERE.get(word)) in (*known, "--help"):
        return f"use `{path} {here}`"
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f"did you mean `{path} {close[0]}`?" if close else f"`{path} --help` shows them"


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

    def shell_complete(self, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with what was typed, with or without SIG as that is."""
        from signal import Signals

        from click.shell_completion import CompletionItem

        typed = incomplete.upper()
        names = [signal.name if typed.startswith("SIG") else signal.name.removeprefix("SIG") for signal in Signals]
        return [CompletionItem(name) for name in names if name.startswith(typed)]


class _Size(_Worded):
    name = "size"

    def parse(self, text: str) -> int:
        from gproc.model.units import parse_size

        return parse_size(text)


class _Within(click.ParamType[Any]):
    """A number within bounds; what is no number, as nan, is within none. click's own ranges are told in the help."""

    def __init__(self, kind: click.ParamType[Any], low: float, high: float) -> None:
        self.name = kind.name
        self._kind, self._low, self._high = kind, low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = self._kind.convert(value, param, ctx)
        if not self._low <= number <= self._high:
            self.fail(f"{value!r} is not between {self._low} and {self._high}.", param, ctx)
        return number


class _Said(click.ParamType[Any]):
    """A text that is not empty: an empty one, as of an unset variable, would mean something that nobody said."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value:
            self.fail(f"must not be empty; name a {self.name}.", param, ctx)
        return value


class _Place(_Said):
    """A file or directory."""

    def __init__(self, name: str, *, as_path: bool) -> None:
        super().__init__(name)
        self._as_path = as_path

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        value = super().convert(value, param, ctx)
        if not self._as_path or not isinstance(value, str):
            return value
        from pathlib import Path

        return Path(value)

    def shell_complete(self, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete it, as it does everywhere."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir" if self.name == "directory" else "file")]


DURATION, SIGNAL, SIZE = _Duration(), _Signal(), _Size()
_COUNT_MAX, _OFFSET_MAX = (1 << 31) - 1, (1 << 63) - 1
CPUS = _Within(click.FLOAT, 0.001, 1_000_000)
COUNT, ONE_OR_MORE, OFFSET = (
    _Within(click.INT, *span) for span in ((0, _COUNT_MAX), (1, _COUNT_MAX), (0, _OFFSET_MAX))
)
OPEN_FILES = _Within(click.INT, 3, _COUNT_MAX)
CONTEXT, JOB, REQUEST, SERVER = _Said("context"), _Said("job"), _Said("request"), _Said("server")
FILE, DIRECTORY = _Place("file", as_path=False), _Place("directory", as_path=False)
FILE_PATH, DIRECTORY_PATH = _Place("file", as_path=True), _Place("directory", as_path=True)

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def job_command_arguments(function: Any) -> Any:
    """Add ``COMMAND [ARG...]``: after COMMAND nothing is parsed, and ``--`` may stand before it."""
    function = click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="[ARG]...")(function)
    return click.argument("program", metavar="COMMAND", type=click.UNPROCESSED)(function)


def complete_job_ids(
    ctx: click.Context, _param: click.Parameter, incomplete: str, *, is_final: bool | None = None
) -> Any:
    """Return ids and names of jobs that begin with what was typed; none if the server does not answer soon."""
    from gproc.cli.complete import jobs

    return jobs(ctx, incomplete, is_final=is_final)


complete_live_job_ids = partial(complete_job_ids, is_final=False)
complete_over_job_ids = partial(complete_job_ids, is_final=True)


def complete_contexts(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of contexts that begin with what was typed."""
    import os

    from gproc.config import context_file_path, load_contexts
    from gproc.errors import ConfigError

    try:
        return [name for name in load_contexts(context_file_path(os.environ)).contexts if name.startswith(incomplete)]
    except ConfigError:
        return []
