"""From flags to a connected client, and from what people call a job to its id."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

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


async def resolve_id(client: Client, text: str, *, prefers_alive: bool = False) -> JobId:
    """Return the id of the one job that *text* means: its id, the beginning of its id, or its name.

    If several jobs have that name and *prefers_alive*, it means those that are not over, if there are any. Raises
    `JobNotFound` if there is none and `InvalidArgument` if there are several; the newest of them are shown.
    """
    from gproc.model.ids import begins_an_id, is_job_id

    if is_job_id(text):
        return text
    if begins_an_id(text):
        found = await _first_few(client, id_prefix=text)
        if found:
            return _the_only_one(found, "id", f"begin with {_short(text)!r}; give more of the id")
    found = await _first_few(client, name=text) if text else []
    if not found:
        raise JobNotFound(_short(text) or "''")
    called = f"have the name {_short(text)!r}; say which by its id"
    if prefers_alive and len(found) > 1:
        from gproc.model import LIVE_STATES

        alive = await _first_few(client, name=text, states=LIVE_STATES)
        if alive:
            return _the_only_one(alive, "name", f"that are not over {called}")
    return _the_only_one(found, "name", called)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


async def resolve_ids(client: Client, texts: Sequence[str]) -> list[JobId]:
    """Return the ids of several jobs, in order, each once; raises like `resolve_id`."""
    return list(dict.fromkeys([await resolve_id(client, text) for text in texts]))


async def _first_few(client: Client, **filters: Any) -> list[JobStatus]:
    from gproc.model import ListQuery

    page = await client.page(ListQuery(page_size=_SHOWN_CANDIDATES + 1, **filters))
    return list(page.jobs)


def _the_only_one(found: list[JobStatus], field: str, problem: str) -> JobId:
    """Return the id of the one that was found; of several, show people the newest and raise `InvalidArgument`."""
    if len(found) == 1:
        return found[0].id
    from gproc.cli.show import show_choice

    show_choice(found[:_SHOWN_CANDIDATES])
    many = str(len(found))
    if len(found) > _SHOWN_CANDIDATES:
        many = f"more than {_SHOWN_CANDIDATES}"
    raise InvalidArgument(field, f"{many} of your jobs {problem}")
