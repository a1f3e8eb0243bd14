"""Files that are cut off, or have a flipped bit, as after a crash of the machine or on a failing disk."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Damage", "random_damage"]


@dataclass(frozen=True, slots=True)
class Damage:
    """What is to happen to one file: a bit flipped at `position`, or all from there on gone."""

    path: Path
    position: int
    bit: int | None = None
    """Which bit of the byte is flipped; None: the file is cut off before the byte."""

    def apply(self) -> None:
        """Do it, in place."""
        if self.bit is None:
            os.truncate(self.path, self.position)
            return
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            (byte,) = os.pread(fd, 1, self.position)
            os.pwrite(fd, bytes([byte ^ 1 << self.bit]), self.position)
        finally:
            os.close(fd)

    def __str__(self) -> str:
        what = "cut off at" if self.bit is None else f"bit {self.bit} flipped in"
        return f"{self.path.name}: {what} byte {self.position}"


def random_damage(chance: random.Random, files: Sequence[Path]) -> Damage:
    """Return damage at a random place of one of *files*; each file is as likely, whatever its size."""
    path = chance.choice([file for file in files if file.stat().st_size > 0])
    position = chance.randrange(path.stat().st_size)
    return Damage(path, position, None if chance.random() < 0.5 else chance.randrange(8))
