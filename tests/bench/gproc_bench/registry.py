"""The measures by name; importing `gproc_bench.measures` fills it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gproc_bench.rows import Row
from gproc_bench.session import Session

__all__ = ["MEASURES", "Measure", "measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to measure: a name for the command line, a line for people, and the function that does it."""

    name: str
    title: str
    run: Callable[[Session], Iterable[Row]]


MEASURES: dict[str, Measure] = {}


def measure(
    name: str, title: str
) -> Callable[[Callable[[Session], Iterable[Row]]], Callable[[Session], Iterable[Row]]]:
    """Register a function under *name*; the function answers with rows of the table."""

    def register(run: Callable[[Session], Iterable[Row]]) -> Callable[[Session], Iterable[Row]]:
        MEASURES[name] = Measure(name, title, run)
        return run

    return register
