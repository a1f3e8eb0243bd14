from __future__ import annotations

import pytest
from gproc_bench.units import GIB, MIB, Unit, bytes_text


@pytest.mark.parametrize(
    ("unit", "cost", "size", "text"),
    [
        (Unit.THROUGHPUT, 2.0, 512 * MIB, "256 MiB/s"),
        (Unit.RATE, 0.5, 1000, "2,000/s"),
        (Unit.TIME, 0.3456, 1, "345.6 ms"),
        (Unit.TIME, 0.0001234, 1, "0.123 ms"),
        (Unit.TIME, -0.002, 1, "-2.0 ms"),
        (Unit.MEMORY, 1.5 * MIB, 100, "1.50 MiB"),
    ],
)
def test_a_cost_is_shown_as_people_read_it(unit: Unit, cost: float, size: float, text: str) -> None:
    assert unit.show(cost, size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(10 * GIB, "10 GiB"), (1536 * MIB, "1,536 MiB"), (1024, "1 KiB"), (20, "20 B"), (1500, "1,500 B")],
)
def test_a_size_is_shown_in_the_largest_unit_that_leaves_it_whole(size: int, text: str) -> None:
    assert bytes_text(size) == text
