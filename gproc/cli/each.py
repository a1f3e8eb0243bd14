"""The same request for several jobs: all are tried, each failure is told, the last one decides the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from gproc.cli.console import error_line
from gproc.cli.session import resolve_id
from gproc.errors import GprocError

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId

__all__ = ["for_each"]

Result = TypeVar("Result")


async def for_each(
    client: Client, jobs: Sequence[str], request: Callable[[Client, JobId], Awaitable[Result]]
) -> tuple[list[Result], int]:
    """Ask for each job, all at once; return the results, in order, and the exit code.

    With one job a failure is raised. With several it is told and the others are still asked for.
    """

    async def one(job: str) -> Result:
        return await request(client, await resolve_id(client, job))

    unique = list(dict.fromkeys(jobs))
    if len(unique) == 1:
        return [await one(unique[0])], 0
    outcomes = await asyncio.gather(*(one(job) for job in unique), return_exceptions=True)
    results, code = [], 0
    for outcome in outcomes:
        if isinstance(outcome, GprocError):
            error_line(str(outcome))
            code = outcome.exit_code
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            results.append(outcome)
    return results, code
