"""Jobs for shell completion. A shell that hangs is worse than one that does not complete: one second, no errors."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from gproc.errors import GprocError

if TYPE_CHECKING:
    from gproc.model import JobStatus

__all__ = ["jobs"]

_PATIENCE = 1.0
_MANY = 50
_MANY_NAMES = 1000
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def jobs(ctx: click.Context, incomplete: str, *, is_final: bool | None) -> list[CompletionItem]:
    """Return the newest jobs whose ids or names begin with *incomplete*, each with a word about it.

    Ids if nothing was typed; with *is_final*, only jobs that have ended, or only those that have not. Empty if anything
    fails.
    """
    try:
        with _not_stuck():
            found = asyncio.run(asyncio.wait_for(_ask(ctx, incomplete, is_final), _PATIENCE))
    except (GprocError, OSError, TimeoutError, UnicodeError):  # the last: a host's name is not even text
        return []
    items = [CompletionItem(job.id, help=_about(job)) for job in found if job.id.startswith(incomplete)]
    # A name that the shell would take apart is of no use to it.
    named = {job.name: job for job in found if incomplete and _PLAIN.fullmatch(job.name)}
    return items + [
        CompletionItem(name, help=_about(job)) for name, job in named.items() if name.startswith(incomplete)
    ]


@contextmanager
def _not_stuck() -> Iterator[None]:
    """Raise `TimeoutError` in a call that blocks for ever, as opening a pipe that nobody writes does."""
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE + 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _give_up(_signum: int, _frame: object) -> None:
    raise TimeoutError


async def _ask(ctx: click.Context, incomplete: str, is_final: bool | None) -> list[JobStatus]:
    from gproc.cli.loop import abandon_lookups
    from gproc.cli.session import make_client, settings_of
    from gproc.model import LIVE_STATES, JobState, ListQuery

    abandon_lookups()
    states = {None: frozenset[JobState](), False: LIVE_STATES, True: frozenset(JobState) - LIVE_STATES}[is_final]
    async with make_client(settings_of(ctx), timeout=_PATIENCE) as client:
        newest = (await client.page(ListQuery(page_size=_MANY_NAMES, states=states))).jobs if incomplete else ()
        by_id = (await client.page(ListQuery(page_size=_MANY, id_prefix=incomplete, states=states))).jobs
        return list({job.id: job for job in (*by_id, *newest)}.values())


def _about(job: JobStatus) -> str:
    from gproc.cli.render.jobs import command_line

    return f"{job.state.value} {command_line(job, longest=60)}"[:60]
