"""What a message may contain, as `prescan` wants to know it.

Schemas of generated classes come from `gproc.wire.classes`; those of the messages that never become one are written
down with the functions below, and a test holds them against the generated ones.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = [
    "COST_OF_MESSAGE",
    "COST_OF_SINGLE",
    "DURATION",
    "TIMESTAMP",
    "Field",
    "Kind",
    "Schema",
    "double",
    "entries",
    "number",
    "part",
    "raw",
    "text",
    "texts",
]


class Kind(Enum):
    """How the value of a field is written."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    TEXT = 3
    MESSAGE = 4
    FIXED32 = 5


COST_OF_SINGLE = 4
COST_OF_MESSAGE = 8


class Field(NamedTuple):
    """One field: how it is called, and how its value is written."""

    name: str
    kind: Kind
    wire_type: int
    largest: int = 2**64 - 1
    """The largest number that a varint may be."""
    is_packable: bool = False
    """Whether many values may come as one block."""
    message: Schema | None = None
    cost: int = COST_OF_SINGLE
    """How many elements it counts for: about the microseconds that decoding it takes, in units of an argument."""


class Schema(NamedTuple):
    """The fields of one message by their numbers."""

    name: str
    fields: dict[int, Field]
    seconds: range | None = None
    """The values of field 1 that Python can express; only for moments and durations."""
    nanos: range | None = None
    least_nanos: int = 0
    """Fewer, and no second beside them, would become nothing, which means something else."""


def text(name: str) -> Field:
    """Return a ``string``."""
    return Field(name, Kind.TEXT, 2)


def texts(name: str) -> Field:
    """Return a ``repeated string``."""
    return Field(name, Kind.TEXT, 2, cost=1)


def raw(name: str) -> Field:
    """Return a ``bytes``."""
    return Field(name, Kind.BYTES, 2)


def number(name: str) -> Field:
    """Return an integer, a truth or an enumeration that may have all 64 bits: negative ones of 32 bits do."""
    return Field(name, Kind.VARINT, 0)


def double(name: str) -> Field:
    """Return a ``double``."""
    return Field(name, Kind.FIXED64, 1)


def part(name: str, message: Schema) -> Field:
    """Return a message within, once or repeated."""
    return Field(name, Kind.MESSAGE, 2, message=message, cost=COST_OF_MESSAGE)


def entries(name: str) -> Field:
    """Return a ``map<string, string>``, which is a repeated message."""
    return part(name, _ENTRY)


_ENTRY = Schema("Entry", {1: text("key"), 2: text("value")})
TIMESTAMP = Schema(
    "Timestamp", {1: number("seconds"), 2: number("nanos")}, range(-62_135_596_800, 253_402_300_800), range(10**9)
)
DURATION = Schema(
    "Duration",
    {1: number("seconds"), 2: number("nanos")},
    range(-315_576_000_000, 315_576_000_001),
    range(1 - 10**9, 10**9),
    least_nanos=1000,
)
