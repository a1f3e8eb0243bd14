"""How costs are written for people. Pure."""

from __future__ import annotations

from enum import Enum

__all__ = ["GIB", "KIB", "MIB", "Unit", "bytes_text"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Unit(Enum):
    """What a cost is, and how it is shown."""

    THROUGHPUT = "MiB/s"
    """Seconds for `size` bytes."""
    RATE = "/s"
    """Seconds for `size` things."""
    TIME = "ms"
    """Seconds, whatever the size."""
    MEMORY = "MiB"
    """Bytes, whatever the size."""

    @property
    def is_of_speed(self) -> bool:
        """Whether more of what is shown is better, and ratios are of speeds."""
        return self in (Unit.THROUGHPUT, Unit.RATE)

    def show(self, cost: float, size: float) -> str:
        """Return *cost* as people read it."""
        match self:
            case Unit.THROUGHPUT:
                return f"{size / MIB / cost:,.0f} MiB/s"
            case Unit.RATE:
                return f"{size / cost:,.0f}/s"
            case Unit.TIME:
                return f"{cost * 1000:,.1f} ms" if abs(cost) >= 0.001 else f"{cost * 1000:.3f} ms"
            case Unit.MEMORY:
                return f"{cost / MIB:,.2f} MiB"


def bytes_text(size: float) -> str:
    """Return a number of bytes in the largest binary unit that leaves it whole."""
    for factor, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= factor and size % factor == 0:
            return f"{size / factor:,.0f} {name}"
    return f"{size:,.0f} B"
