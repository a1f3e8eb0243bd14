"""Runs contenders in turns: each size, each round, each in another order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import SubprocessError

from gproc_bench.rows import Series, Standings
from gproc_bench.session import Missing, Session
from gproc_bench.turns import in_turn

__all__ = ["Contender", "Sampler", "Turn", "contest"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One go: how much to do; in a warm-up, also whether every byte is right (not timed, so it may be slow)."""

    size: int
    is_warm_up: bool = False


Sampler = Callable[[Turn], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who can be measured; `open` sets it up on the stack, or raises `Missing`."""

    name: str
    open: Callable[[Session, ExitStack], Sampler]


def contest(session: Session, field: Sequence[Contender], sizes: Sequence[int], rounds: int) -> Standings:
    """Measure all of *field* at all *sizes*, *rounds* times each, after one warm-up at the smallest size.

    Who cannot be set up, or fails in between, is named in `absent` with the reason; the others go on.
    """
    samples: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        ready = _line_up(session, stack, field, absent)
        for name in list(ready):
            _go(session, ready, absent, name, Turn(min(sizes), is_warm_up=True))
        for size in sizes:
            for turn in range(rounds):
                for name in in_turn(list(ready), turn):
                    samples[name][size] += _go(session, ready, absent, name, Turn(size))
    return Standings({name: Series(samples[name]) for name in samples if name not in absent}, absent)


def _line_up(
    session: Session, stack: ExitStack, field: Sequence[Contender], absent: dict[str, str]
) -> dict[str, Sampler]:
    ready = {}
    for contender in field:
        try:
            ready[contender.name] = contender.open(session, stack)
        except (Missing, OSError, SubprocessError) as problem:
            absent[contender.name] = str(problem)
            session.say(f"{contender.name} takes no part: {problem}")
    return ready


def _go(session: Session, ready: dict[str, Sampler], absent: dict[str, str], name: str, turn: Turn) -> Sequence[float]:
    if name not in ready:
        return ()
    try:
        costs = ready[name](turn)
    except (Missing, OSError, SubprocessError) as problem:
        absent[name] = f"failed: {problem}"
        session.say(f"{name} failed at size {turn.size}: {problem}")
        del ready[name]
        return ()
    session.trace(name, turn.size, costs)
    return costs
