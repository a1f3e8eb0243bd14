"""Medians, quantiles, growth, and whether a ratio is reached. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log

__all__ = ["Direction", "Reach", "at_least", "at_most", "exponent", "median", "quantile"]


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the middle two; raises ValueError if there is none."""
    if not values:
        raise ValueError("no values: a median needs at least one")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least *share* of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values: a quantile needs at least one")
    if not 0 < share <= 1:
        raise ValueError(f"{share} is no share: it must be above 0 and at most 1")
    return sorted(values)[ceil(share * len(values)) - 1]


def exponent(costs: Mapping[float, float]) -> float | None:
    """Return e of the best fit cost = c · size^e: 1 is linear, 0 is constant.

    None where the question makes no sense: fewer than two sizes, or a cost that is not positive.
    """
    if len(costs) < 2 or min(costs) <= 0 or min(costs.values()) <= 0:
        return None
    points = [(log(size), log(cost)) for size, cost in costs.items()]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


class Direction(Enum):
    """Which way is better."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Reach:
    """A ratio to reach: of speeds where more is better, of costs where less is better."""

    direction: Direction
    bound: float

    def ratio(self, *, ours: float, theirs: float) -> float:
        """Return how many times as fast we are, or how many times as much we cost, from two costs."""
        if self.direction is Direction.AT_LEAST:
            return theirs / ours
        return ours / theirs

    def is_met_by(self, ratio: float) -> bool:
        """Whether *ratio* is good enough."""
        if self.direction is Direction.AT_LEAST:
            return ratio >= self.bound
        return ratio <= self.bound

    def __str__(self) -> str:
        return f"{self.direction.value} {self.bound:g}"


def at_least(bound: float) -> Reach:
    """As fast as the other, *bound* times over, or faster."""
    return Reach(Direction.AT_LEAST, bound)


def at_most(bound: float) -> Reach:
    """As costly as the other, *bound* times over, or cheaper."""
    return Reach(Direction.AT_MOST, bound)
