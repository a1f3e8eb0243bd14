"""From flags to a connected client, and from what people call a job to its id."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from gproc.errors import InvalidArgument, JobNotFound

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.config import Settings
    from gproc.model import JobId, JobStatus

__all__ = ["make_client", "resolve_id", "resolve_ids", "settings_of", "with_client"]

Result = TypeVar("Result")

_SHOWN_CANDIDATES = 5
_LONGEST_SHOWN = 80


def settings_of(ctx: click.Context) -> Settings:
    """Return the settings that flags, environment and context file add up to."""
    from gproc.config import context_file_path, load_contexts, resolve_settings

    root = ctx.find_root()
    flags = root.params if root.obj is None else root.obj  # nothing is invoked to complete a line, only parsed
    return resolve_settings(flags, os.environ, load_contexts(context_file_path(os.environ)))


def make_client(settings: Settings, *, timeout: float = 30.0) -> Client:
    """Return a client that is not connected yet; raise `ConfigError` if a setting is missing or a file is wrong."""
    from gproc.client import Client

    return Client(
        settings.require("addr"),
        cacert=settings.require("cacert"),
        cert=settings.require("cert"),
        key=settings.require("key"),
        timeout=timeout,
    )


def with_client(ctx: click.Context, action: Callable[[Client], Awaitable[Result]]) -> Result:
    """Connect, do *action*, disconnect; return what the action returned. Ctrl-C cancels the action."""
    from gproc.cli.loop import reach, run_async  # with asyncio, which a help page should not have to pay for

    client = make_client(settings_of(ctx))

    async def connected() -> Result:
        async with client:
            await reach(client)
            return await action(client)

    return run_async(connected())


async def resolve_id(client: Client, text: str) -> JobId:
    """Return the id of the one job that *text* means: its id, the beginning of its id, or its name.

    Raises `JobNotFound` if there is none and `InvalidArgument` if there are several; the newest of them are shown.
    """
    from gproc.model.ids import begins_an_id, is_job_id

    if is_job_id(text):
        return text
    if begins_an_id(text):
        found = await _first_few(client, id_prefix=text)
        if found:
            return _the_only_one(text, found, "begin with that")
    found = await _first_few(client, name=text) if text else []
    if not found:
        raise JobNotFound(_short(text) or "''")
    return _the_only_one(text, found, "have that name")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


async def resolve_ids(client: Client, texts: Sequence[str]) -> list[JobId]:
    """Return the ids of several jobs, in order, each once; raises like `resolve_id`."""
    return list(dict.fromkeys([await resolve_id(client, text) for text in texts]))


async def _first_few(client: Client, *, id_prefix: str = "", name: str = "") -> list[JobStatus]:
    from gproc.client import ListQuery

    page = await client.page(ListQuery(page_size=_SHOWN_CANDIDATES + 1, id_prefix=id_prefix, name=name))
    return list(page.jobs)


def _the_only_one(text: str, found: list[JobStatus], how: str) -> JobId:
    if len(found) == 1:
        return found[0].id
    from gproc.cli.show import show_choice

    show_choice(found[:_SHOWN_CANDIDATES])
    many = str(len(found))
    if len(found) > _SHOWN_CANDIDATES:
        many = f"more than {_SHOWN_CANDIDATES}"
    raise InvalidArgument("id", f"{_short(text)!r}: {many} of your jobs {how}; give more of the id")
