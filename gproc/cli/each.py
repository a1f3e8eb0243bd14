"""The same request for several jobs: all are tried, each failure is told, the last one decides the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gproc.cli.console import error_line, show_place
from gproc.errors import GprocError

__all__ = ["Outcomes", "for_each", "summed_up", "telling", "told"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes(Generic[Result]):
    """What came of it: the results, in order, and each job that failed with its error."""

    results: list[Result]
    failures: list[tuple[str, str]]
    code: int
    is_one: bool
    """Whether one job was asked for."""


async def for_each(jobs: Sequence[str], request: Callable[[str], Awaitable[Result]]) -> Outcomes[Result]:
    """Ask for each job, all at once; return what came of it, with the exit code. What fails is told, others go on."""
    unique = list(dict.fromkeys(jobs))
    return summed_up(unique, await asyncio.gather(*(telling(request(job)) for job in unique)))


async def telling(request: Awaitable[Result]) -> Result | GprocError:
    """Return what comes of one request; a failure is told at once, for the others may take long."""
    try:
        return await request
    except GprocError as error:
        return told(error)


def told(error: GprocError) -> GprocError:
    """Return *error*, which is told now."""
    show_place(error)
    error_line(str(error))
    return error


def summed_up(jobs: Sequence[str], outcomes: Sequence[Result | GprocError | None]) -> Outcomes[Result]:
    """Return what came of each of *jobs* as one; None is left out."""
    failures = [(job, error) for job, error in zip(jobs, outcomes, strict=True) if isinstance(error, GprocError)]
    return Outcomes(
        results=[outcome for outcome in outcomes if not (outcome is None or isinstance(outcome, GprocError))],
        failures=[(job, str(error)) for job, error in failures],
        code=failures[-1][1].exit_code if failures else 0,
        is_one=len(jobs) == 1,
    )
