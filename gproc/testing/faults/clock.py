"""A wall clock that jumps, inside this program.

The clock of the machine is everybody's and is left alone. What is replaced is what the modules of Gproc that are
loaded here know as `datetime` and `time`: an embedded server then lives in another time, its shims (processes of their
own) do not.
"""

from __future__ import annotations

import datetime as dt
import sys
import time as real_time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta, tzinfo
from types import ModuleType
from typing import Any, Self

__all__ = ["ShiftedClock", "shifted_clock"]


class ShiftedClock:
    """How far the wall clock is off. Made by `shifted_clock`."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def jump(self, by: timedelta) -> None:
        """Set the clock forward, or back."""
        self.offset += by


@contextmanager
def shifted_clock(by: timedelta = timedelta(0)) -> Iterator[ShiftedClock]:
    """Let Gproc's modules in this program see a wall clock that is off by *by*, and can jump, until the block ends.

    The monotonic clock is left alone: what must not depend on the wall clock must not notice.
    """
    clock = ShiftedClock()
    clock.jump(by)
    replaced = [
        (module, name, old, new)
        for module in _modules()
        for name, old, new in (
            ("datetime", dt.datetime, _datetime_of(clock)),
            ("time", real_time, _time_of(clock)),
        )
        if getattr(module, name, None) is old
    ]
    for module, name, _, new in replaced:
        setattr(module, name, new)
    try:
        yield clock
    finally:
        for module, name, old, _ in replaced:
            setattr(module, name, old)


def _modules() -> list[ModuleType]:
    mine = __name__.rpartition(".")[0]
    return [module for name, module in list(sys.modules.items()) if name.startswith("gproc.") and mine not in name]


def _datetime_of(clock: ShiftedClock) -> type[dt.datetime]:
    class Shifted(dt.datetime):
        """The real class, but for what it takes for now."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            moment = dt.datetime.now(tz) + clock.offset
            return cls.fromtimestamp(moment.timestamp(), tz)

    return Shifted


def _time_of(clock: ShiftedClock) -> Any:
    class Shifted(ModuleType):
        """The real module, but for the wall clock."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real_time, name)

        @staticmethod
        def time() -> float:
            return real_time.time() + clock.offset.total_seconds()

        @staticmethod
        def time_ns() -> int:
            return real_time.time_ns() + int(clock.offset.total_seconds() * 1e9)

    return Shifted("time")
