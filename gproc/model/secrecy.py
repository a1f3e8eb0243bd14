"""Whether a key is still a secret. Pure: the mode of its file is told."""

from __future__ import annotations

from pathlib import Path

__all__ = ["exposure"]

_FOR_OTHERS = 0o077


def exposure(key: Path, mode: int) -> str:
    """Return what to say about the file of a private key that has that *mode*; empty if it is its owner's alone."""
    return f"others can read it (mode {mode & 0o777:04o}); `chmod 600 {key}`" if mode & _FOR_OTHERS else ""
