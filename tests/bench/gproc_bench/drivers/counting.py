"""Counts what arrives, and if asked hashes it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["Arrivals"]


class Arrivals:
    """The bytes of one transfer: how many, what they hash to, and how long they took from `__init__` on."""

    def __init__(self, *, hashed: bool) -> None:
        self._digest = hashlib.sha256() if hashed else None
        self._bytes = 0
        self._start = time.perf_counter()

    def add(self, data: bytes | memoryview) -> None:
        """Take one piece."""
        self._bytes += len(data)
        if self._digest is not None:
            self._digest.update(data)

    def result(self) -> Mapping[str, Any]:
        """Return seconds, bytes and the hash (empty if it was not asked for)."""
        seconds = time.perf_counter() - self._start
        return {
            "seconds": seconds,
            "bytes": self._bytes,
            "sha256": "" if self._digest is None else self._digest.hexdigest(),
        }
