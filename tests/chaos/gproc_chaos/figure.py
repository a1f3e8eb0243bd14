"""What a figure is: a fault, repeated, and what was seen against what is wanted."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Check", "Figure", "Stage", "at_most", "exactly"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was seen, what is wanted, and whether that is enough."""

    what: str
    seen: str
    wanted: str
    is_ok: bool


def exactly(what: str, seen: object, wanted: object) -> Check:
    """Return the check that *seen* is what is *wanted*."""
    return Check(what, str(seen), str(wanted), seen == wanted)


def at_most(what: str, seen: float, bound: float, unit: str = "") -> Check:
    """Return the check that *seen* is not beyond *bound*."""
    return Check(what, f"{_number(seen)}{unit}", f"<= {_number(bound)}{unit}", seen <= bound)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a figure plays: a directory of its own, chance that can be repeated, and whether it takes its time."""

    directory: Path
    full: bool = False
    chance: random.Random = field(default_factory=random.Random)
    say: Callable[[str], None] = lambda _: None

    def pick(self, short: _T, full: _T) -> _T:
        """Return the one that fits the form that is played."""
        return full if self.full else short

    def room(self, name: str) -> Path:
        """Return a new directory of this stage."""
        path = self.directory / name
        path.mkdir(mode=0o700)
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A row of the table."""

    name: str
    title: str
    run: Callable[[Stage], Coroutine[Any, Any, Sequence[Check]]]
