"""From samples to lines of the table: who was how many times as good as whom. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gproc_bench.stats import Reach, at_least, at_most, exponent, median
from gproc_bench.units import Unit

__all__ = ["Question", "Row", "Series", "Standings", "Verdict", "bounded", "compared"]

Statistic = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True)
class Series:
    """All samples of one contender, by size; each is a cost: seconds or bytes, less is better."""

    samples: Mapping[int, Sequence[float]]

    def cost(self, size: int, statistic: Statistic = median) -> float:
        """Return the one figure that stands for all samples of *size*."""
        return statistic(self.samples[size])

    def growth(self, statistic: Statistic = median) -> float | None:
        """Return the exponent with which the cost grows with the size."""
        return exponent({size: statistic(values) for size, values in self.samples.items() if values})


@dataclass(frozen=True, slots=True)
class Standings:
    """The samples of all who took part, and why the others did not."""

    series: Mapping[str, Series]
    absent: Mapping[str, str] = field(default_factory=dict)


class Verdict(Enum):
    """What a row says about the reach."""

    REACHED = "reached"
    MISSED = "missed"
    NOT_MEASURED = "not measured"
    FOR_INFORMATION = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the samples of one measure."""

    measure: str
    unit: Unit
    say_size: Callable[[float], str]
    deciding_size: int
    """The size at which the reach has to be met; the others show the growth."""
    statistic: Statistic = median
    label: str = ""
    """Which figure of several: "p50", "p99"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: Gproc at one size against one peer, or against a fixed bound."""

    question: Question
    size: int
    subject: str
    against: str
    ours: float | None
    theirs: float | None
    reach: Reach | None
    our_growth: float | None = None
    their_growth: float | None = None
    notes: Sequence[str] = ()
    """Why a side is missing."""

    @property
    def ratio(self) -> float | None:
        """How many times as fast, or as costly, by the reach or else by the unit; None if either side is missing."""
        if self.ours is None or self.theirs is None:
            return None
        usual = at_least(1) if self.question.unit.is_of_speed else at_most(1)
        return (self.reach or usual).ratio(ours=self.ours, theirs=self.theirs)

    @property
    def is_deciding(self) -> bool:
        """Whether the reach is about this size."""
        return self.size == self.question.deciding_size

    @property
    def verdict(self) -> Verdict:
        """Whether the reach is met, where it has to be."""
        if self.ours is None or (self.against and self.theirs is None):
            return Verdict.NOT_MEASURED
        if self.ratio is None or self.reach is None or not self.is_deciding:
            return Verdict.FOR_INFORMATION
        return Verdict.REACHED if self.reach.is_met_by(self.ratio) else Verdict.MISSED


def compared(
    question: Question, standings: Standings, subjects: Sequence[str], reaches: Mapping[str, Reach | None]
) -> Iterator[Row]:
    """Yield a row for each of our variants, each peer and each size; a side that is absent leaves its place empty.

    A peer whose reach is None is shown for information.
    """
    for subject in subjects:
        for peer, reach in reaches.items():
            sizes = _sizes(standings, subject, peer) or [question.deciding_size]
            for size in sizes:
                yield Row(
                    question=question,
                    size=size,
                    subject=subject,
                    against=peer,
                    ours=_cost(standings, subject, size, question.statistic),
                    theirs=_cost(standings, peer, size, question.statistic),
                    reach=reach,
                    our_growth=_growth(standings, subject, question.statistic),
                    their_growth=_growth(standings, peer, question.statistic),
                    notes=_notes(question, standings, subject, peer),
                )


def bounded(question: Question, standings: Standings, subject: str, bound: float | None) -> Iterator[Row]:
    """Yield a row for each size against a fixed bound (None: a figure without a reach)."""
    for size in _sizes(standings, subject) or [question.deciding_size]:
        yield Row(
            question=question,
            size=size,
            subject=subject,
            against="bound" if bound is not None else "",
            ours=_cost(standings, subject, size, question.statistic),
            theirs=bound,
            reach=at_most(1) if bound is not None else None,
            our_growth=_growth(standings, subject, question.statistic),
            notes=_notes(question, standings, subject),
        )


def _notes(question: Question, standings: Standings, *names: str) -> list[str]:
    return [f"{question.measure}: {name}: {standings.absent[name]}" for name in names if name in standings.absent]


def _sizes(standings: Standings, *names: str) -> list[int]:
    return sorted({size for name in names if name in standings.series for size in standings.series[name].samples})


def _cost(standings: Standings, name: str, size: int, statistic: Statistic) -> float | None:
    series = standings.series.get(name)
    if series is None or not series.samples.get(size):
        return None
    return series.cost(size, statistic)


def _growth(standings: Standings, name: str, statistic: Statistic) -> float | None:
    series = standings.series.get(name)
    return None if series is None else series.growth(statistic)
