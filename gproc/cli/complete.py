"""Job ids for shell completion. A shell that hangs is worse than one that does not complete: one second, no errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from gproc.errors import GprocError

if TYPE_CHECKING:
    from gproc.model import JobStatus

__all__ = ["job_ids"]

_PATIENCE = 1.0
_MANY = 50


def job_ids(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the newest jobs whose ids begin with *incomplete*, each with a word about it; empty if anything fails."""
    try:
        jobs = asyncio.run(asyncio.wait_for(_ask(ctx, incomplete), _PATIENCE))
    except (GprocError, OSError, TimeoutError):
        return []
    return [CompletionItem(job.id, help=_about(job)) for job in jobs]


async def _ask(ctx: click.Context, incomplete: str) -> tuple[JobStatus, ...]:
    from gproc.cli.session import make_client, settings_of
    from gproc.client import ListQuery

    async with make_client(settings_of(ctx), timeout=_PATIENCE) as client:
        return tuple((await client.page(ListQuery(page_size=_MANY, id_prefix=incomplete))).jobs)


def _about(job: JobStatus) -> str:
    from gproc.cli.render.jobs import command_line

    return f"{job.state.value} {command_line(job, longest=60)}"[:60]
