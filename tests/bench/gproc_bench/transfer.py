"""Whether a transfer brought everything, and how long it took. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gproc_bench.processes import CallFailed

__all__ = ["seconds_of"]


def seconds_of(answer: Mapping[str, Any], *, size: int, sha256: str = "") -> tuple[float]:
    """Return the seconds of a transfer; raises `CallFailed` if a byte is missing, or wrong where it was hashed."""
    if answer["bytes"] != size:
        raise CallFailed(f"{answer['bytes']} bytes arrived instead of {size}")
    if sha256 and answer["sha256"] and answer["sha256"] != sha256:
        raise CallFailed(f"{size} bytes arrived, but not the right ones")
    return (float(answer["seconds"]),)
