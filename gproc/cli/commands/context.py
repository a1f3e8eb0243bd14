"""``gproc context``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import FILE, JSON_OPTION, SERVER, Group, complete_contexts
from gproc.cli.console import note, paint

if TYPE_CHECKING:
    from gproc.config import Context, ContextFile

__all__ = ["command"]


_NAME = click.argument("name", shell_complete=complete_contexts)


@click.group("context", cls=Group)
def command() -> None:
    """Remember servers and certificates under a name.

    Contexts are kept in $XDG_CONFIG_HOME/gproc/config.toml. Options and the environment go before them.
    """


@command.command("add")
@_NAME
@click.option("--addr", metavar="HOST:PORT", type=SERVER, help="The server.")
@click.option("--cacert", metavar="FILE", type=FILE, help="Certificate of the authority to trust.")
@click.option("--cert", metavar="FILE", type=FILE, help="Your certificate.")
@click.option("--key", metavar="FILE", type=FILE, help="The key of your certificate.")
@click.pass_context
def add(ctx: click.Context, /, name: str, **given: str | None) -> int:
    """Add a context, or change what is given of one that is there.

    The first one becomes the current one.
    """
    from gproc.config import CONTEXT_FIELDS, Context

    flags = ctx.find_root().obj or {}
    values = {field: given[field] or flags.get(field) for field in CONTEXT_FIELDS}
    if not any(values.values()):
        raise click.UsageError("nothing to remember; give --addr HOST:PORT, --cacert, --cert or --key FILE")
    if values["addr"]:
        _check_address(values["addr"])
    known = {field: _absolute(field, value) for field, value in values.items() if value}
    changed = _change(lambda file: file.with_context(file.contexts.get(name, Context(name=name))._replace(**known)))
    for field in CONTEXT_FIELDS[1:]:
        if field in known and not Path(known[field]).exists():
            note(f"{known[field]}: there is no such file; it is remembered all the same")
    note(f"context {name!r} is in {changed.path}" + (", and is the current one" if changed.current == name else ""))
    return 0


@command.command("use")
@_NAME
def use(name: str) -> int:
    """Make a context the current one."""
    _change(lambda file: file._replace(current=file.get(name, asked_by="context use").name))
    return 0


@command.command("list")
@JSON_OPTION
def list_contexts(as_json: bool) -> int:
    """List the contexts; * is the current one."""
    from gproc.cli.render.escape import visible
    from gproc.cli.render.jobs import json_text

    file = _file()
    if as_json:
        sys.stdout.write(json_text([_document(file, context) for context in file.contexts.values()]))
        return 0
    width = max((len(name) for name in file.contexts), default=0)
    for name, context in sorted(file.contexts.items()):
        mark = paint("*", "32", sys.stdout) if name == file.current else " "
        click.echo(f"{mark} {visible(name):<{width}}  {visible(context.addr or '-')}")
    if not file.contexts:
        note("no contexts; `gproc context add NAME --addr HOST:PORT --cacert FILE --cert FILE --key FILE` makes one")
    return 0


@command.command("show")
@click.argument("name", required=False, shell_complete=complete_contexts)
@JSON_OPTION
@click.pass_context
def show(ctx: click.Context, /, name: str | None, as_json: bool) -> int:
    """Show a context; without NAME, the settings in force and where each comes from."""
    from gproc.cli.render.jobs import json_text
    from gproc.cli.session import settings_of
    from gproc.config import CONTEXT_FIELDS

    file = _file()
    if name is not None:
        context = file.get(name, asked_by="context show")
        rows = {field: (getattr(context, field) or "", "") for field in CONTEXT_FIELDS}
        document = _document(file, context)
    else:
        settings = settings_of(ctx)
        found = {field: setting for field in CONTEXT_FIELDS if (setting := settings.get(field)) is not None}
        rows = {field: (setting.value, f"from {setting.source}") for field, setting in found.items()}
        document = {field: {"value": s.value, "source": s.source} for field, s in found.items()}
    if as_json:
        sys.stdout.write(json_text(document))
    else:
        _print_rows(rows)
    return 0


@command.command("remove")
@_NAME
def remove(name: str) -> int:
    """Remove a context; the files it names stay."""
    was_current = _file().current
    changed = _change(lambda file: file.without_context(name))
    if name == was_current and changed.contexts:
        note(f"{name!r} was the current context, and now there is none; `gproc context use NAME` makes another one it")
    return 0


def _file() -> ContextFile:
    from gproc.config import context_file_path, load_contexts

    return load_contexts(context_file_path(os.environ))


def _change(change: Callable[[ContextFile], ContextFile]) -> ContextFile:
    """Change the file, one command after the other; return it as it is then."""
    from gproc.config import changing_contexts, context_file_path, save_contexts

    with changing_contexts(context_file_path(os.environ)):
        changed = change(_file())
        save_contexts(changed)
    return changed


def _check_address(addr: str) -> None:
    from gproc.errors import GprocError
    from gproc.model.address import parse_address

    try:
        parse_address(addr)
    except GprocError as error:
        raise click.UsageError(str(error)) from None


def _absolute(field: str, value: str) -> str:
    """Return paths as they are from anywhere: a context is used in other directories than it is made in."""
    return value if field == "addr" else str(Path(os.path.expanduser(value)).absolute())  # noqa: PTH111 (it never raises)


def _document(file: ContextFile, context: Context) -> dict[str, Any]:
    from gproc.config import CONTEXT_FIELDS

    values = {field: getattr(context, field) for field in CONTEXT_FIELDS}
    present = {field: value for field, value in values.items() if value is not None}
    return {"name": context.name, "current": context.name == file.current, **present}


def _print_rows(rows: dict[str, tuple[str, str]]) -> None:
    from gproc.cli.render.escape import visible

    width = max((len(value) for value, _ in rows.values()), default=0)
    for field, (value, source) in rows.items():
        click.echo(f"{field:<6}  {visible(value):<{width}}  {visible(source)}".rstrip())
