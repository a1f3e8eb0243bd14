"""From flags to a connected client, and from what people call a job to its id."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, Signals, getsignal
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gproc.cli.console import note
from gproc.cli.entry import settle_heap
from gproc.errors import CertificateRefused, InvalidArgument, JobNotFound, Unavailable

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.config import Settings
    from gproc.model import JobId, JobStatus

__all__ = ["make_client", "resolve_id", "resolve_ids", "run_async", "settings_of", "with_client"]

Result = TypeVar("Result")

_ID_ALPHABET = frozenset("0123456789abcdefghjkmnpqrstvwxyz")
_ID_LENGTH = 36
_SHOWN_CANDIDATES = 3
_QUIET_SECONDS = 2.0
_CONNECT_SECONDS = 10.0


def settings_of(ctx: click.Context) -> Settings:
    """Return the settings that flags, environment and context file add up to."""
    from gproc.config import context_file_path, load_contexts, resolve_settings

    return resolve_settings(ctx.find_root().obj or {}, os.environ, load_contexts(context_file_path(os.environ)))


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
    client = make_client(settings_of(ctx))

    async def connected() -> Result:
        async with client:
            await _reach(client)
            return await action(client)

    return run_async(connected())


async def _reach(client: Client) -> None:
    """Connect, with a word for whoever waits; raise `Unavailable` if nobody answers for too long.

    A refusal is not raised: the first request tries again for a while, and tells it then.
    """
    told = asyncio.get_running_loop().call_later(_QUIET_SECONDS, note, f"waiting for {client.address} to answer")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.connect()
    except TimeoutError:
        raise Unavailable(
            f"{client.address}: no answer within {_CONNECT_SECONDS:g} s; check --addr; is a firewall in between?"
        ) from None
    except CertificateRefused:
        raise
    except Unavailable:
        pass
    finally:
        told.cancel()


def run_async(action: Coroutine[Any, Any, Result], *, cleans_up: bool = False) -> Result:
    """Run *action* in a loop of its own and return what it returns; Ctrl-C, SIGTERM and SIGHUP cancel it.

    Raises `KeyboardInterrupt` if Ctrl-C ended it, however it did, and `SystemExit` with 128 and its number if another
    signal did. What comes first counts: a second SIGTERM changes nothing, and neither does a second Ctrl-C if the
    action *cleans_up*.
    """
    settle_heap()
    received: list[Signals] = []
    signals = (SIGINT, SIGTERM, SIGHUP) if cleans_up else (SIGTERM, SIGHUP)
    try:
        return asyncio.run(_cancelled_by(signals, action, received))
    except asyncio.CancelledError:
        if received and received[0] is not SIGINT:
            raise SystemExit(128 + received[0]) from None
        raise KeyboardInterrupt from None


async def _cancelled_by(
    signals: Sequence[Signals], action: Coroutine[Any, Any, Result], received: list[Signals]
) -> Result:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def leave(signum: Signals) -> None:
        received.append(signum)
        if len(received) == 1 and task is not None:
            task.cancel()

    for signum in signals:
        if getsignal(signum) is not SIG_IGN:  # as nohup wants it
            loop.add_signal_handler(signum, leave, signum)
    return await action


async def resolve_id(client: Client, text: str) -> JobId:
    """Return the id of the one job that *text* means: its id, the beginning of its id, or its name.

    Raises `JobNotFound` if there is none and `InvalidArgument`, with some of them, if there are several.
    """
    if len(text) == _ID_LENGTH and _ID_ALPHABET.issuperset(text):
        return text
    if text and _ID_ALPHABET.issuperset(text):
        found = await _first_few(client, id_prefix=text)
        if found:
            return _the_only_one(text, found, "begin with that")
    found = await _first_few(client, name=text) if text else []
    if not found:
        raise JobNotFound(text or "''")
    return _the_only_one(text, found, "have that name")


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
    ids = ", ".join(job.id for job in found[:_SHOWN_CANDIDATES])
    more = ", …" if len(found) > _SHOWN_CANDIDATES else ""
    raise InvalidArgument("id", f"{text!r}: more than one of your jobs {how}: {ids}{more}; give more of the id")
