"""What every value that callers make looks at when it is made: that each field is of its kind, and within its bounds.

Python does not hold anybody to the types that are written down. Without this, what is wrong with a field would be found
far from it, by whoever uses it first, or by nobody: a list of words is no set of states, and no job has one of them.

All raise `InvalidArgument` that begins with the name of the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import UnionType
from typing import TypeVar

from gproc.errors import InvalidArgument

__all__ = [
    "LARGEST_COUNT",
    "LARGEST_SIZE",
    "check_kind",
    "check_natural",
    "check_seconds",
    "check_text",
    "check_texts_by_name",
    "listed",
    "members",
]

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Enum)

LARGEST_COUNT = 2**31 - 1
"""The largest number of things."""
LARGEST_SIZE = 2**63 - 1
"""The largest offset or number of bytes that the kernel can take."""


def check_kind(field: str, value: object, kind: type | UnionType, words: str) -> None:
    """Refuse what is not of that *kind*, which *words* tell to people."""
    if not isinstance(value, kind):
        raise InvalidArgument(field, f"must be {words}, not {value!r:.100}")


def check_text(field: str, value: object) -> None:
    """Refuse what is not text; bytes are not."""
    if not isinstance(value, str):
        raise InvalidArgument(field, f"must be text, not {type(value).__name__} ({value!r:.100})")


def check_natural(field: str, value: object, *, least: int = 0, most: int = LARGEST_SIZE) -> int:
    """Return *value* if it is a whole number within bounds; a truth is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgument(field, f"must be a whole number from {least} to {most}, not {value!r:.100}")
    return value


def check_seconds(field: str, value: object) -> None:
    """Refuse what is not a number of seconds; for ever is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidArgument(field, f"must be a number of seconds, not {value!r:.100}")


def check_texts_by_name(field: str, value: object) -> None:
    """Refuse what is not a mapping of texts."""
    if not isinstance(value, Mapping):
        raise InvalidArgument(field, f"must be a dict of texts, not {value!r:.100}")
    for text in (*value, *value.values()):
        check_text(field, text)


def listed(field: str, values: Iterable[_T], of: str) -> tuple[_T, ...]:
    """Return *values* as a tuple; refuse one text, whose letters nobody means, and what is no list."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidArgument(field, f"must be a list of {of}, not {values!r:.100}")
    return tuple(values)


def members(field: str, values: Iterable[_E], kind: type[_E]) -> frozenset[_E]:
    """Return *values*, each a member of *kind*, as a set; the word of a member is none."""
    found = listed(field, values, kind.__name__)
    for value in found:
        check_kind(field, value, kind, f"a list of {kind.__name__}")
    return frozenset(found)
