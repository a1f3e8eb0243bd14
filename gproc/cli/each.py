"""The same request for several jobs: all are tried, each failure is told, the last one decides the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gproc.cli.console import error_line
from gproc.cli.session import resolve_id
from gproc.errors import GprocError

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.model import JobId

__all__ = ["Outcomes", "for_each"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes(Generic[Result]):
    """What came of it: the results, in order, and each job that failed with its error."""

    results: list[Result]
    failures: list[tuple[str, str]]
    code: int
    is_one: bool
    """Whether one job was asked for."""


async def for_each(
    client: Client, jobs: Sequence[str], request: Callable[[Client, JobId], Awaitable[Result]]
) -> Outcomes[Result]:
    """Ask for each job, all at once; return what came of it, with the exit code.

    With one job a failure is raised. With several it is told and the others are still asked for.
    """

    async def one(job: str) -> Result:
        return await request(client, await resolve_id(client, job))

    unique = list(dict.fromkeys(jobs))
    if len(unique) == 1:
        return Outcomes(results=[await one(unique[0])], failures=[], code=0, is_one=True)
    outcomes = await asyncio.gather(*(one(job) for job in unique), return_exceptions=True)
    results: list[Result] = []
    failures, code = [], 0
    for job, outcome in zip(unique, outcomes, strict=True):
        if isinstance(outcome, GprocError):
            error_line(str(outcome))
            failures.append((job, str(outcome)))
            code = outcome.exit_code
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            results.append(outcome)
    return Outcomes(results=results, failures=failures, code=code, is_one=False)
