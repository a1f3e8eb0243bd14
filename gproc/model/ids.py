"""Job ids: 36 characters of time and chance.

An id is 10 characters of milliseconds since 1970 and 26 characters of random bits (130 of them), in Crockford's
base 32 with lower-case letters. Ids sort by time, fit a file name, and cannot be guessed.
"""

from __future__ import annotations

import re

from gproc.errors import InvalidArgument
from gproc.model.checks import check_text

__all__ = ["JobId", "begins_an_id", "is_job_id", "make_job_id", "parse_job_id"]

JobId = str
"""Identifies one job for ever."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS = 10
_RANDOM_CHARACTERS = 26
_SHAPE = re.compile(rf"[{_ALPHABET}]{{{_TIME_CHARACTERS + _RANDOM_CHARACTERS}}}")


def make_job_id(*, milliseconds: int, chance: int) -> JobId:
    """Return the id for a moment in *milliseconds* since 1970 and 130 bits of *chance*."""
    return _base32(milliseconds, _TIME_CHARACTERS) + _base32(chance, _RANDOM_CHARACTERS)


def parse_job_id(text: str, field: str = "id") -> JobId:
    """Return *text* if it has the shape of an id; raise `InvalidArgument` if not."""
    check_text(field, text)
    if not is_job_id(text):
        shown = text if len(text) <= 80 else text[:77] + "..."
        raise InvalidArgument(field, f"{shown!r} is not a job id; ids are 36 lower-case letters and digits")
    return text


def is_job_id(text: str) -> bool:
    """Whether *text* has the shape of an id."""
    return _SHAPE.fullmatch(text) is not None


def begins_an_id(text: str) -> bool:
    """Whether an id may begin with *text*: it is not empty, and all of it is of their alphabet."""
    return 0 < len(text) <= _TIME_CHARACTERS + _RANDOM_CHARACTERS and set(text) <= set(_ALPHABET)


def _base32(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(5 * (length - 1), -5, -5))
