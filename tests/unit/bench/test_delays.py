from __future__ import annotations

from itertools import pairwise

import pytest
from gproc_bench.delays import Delays
from hypothesis import given
from hypothesis import strategies as st

LINES = b"".join(b"%020d...........\n" % (second * 1_000_000_000) for second in range(1, 6))


def test_a_line_is_as_late_as_its_last_byte() -> None:
    delays = Delays()
    delays.add(LINES[:31], now_ns=1_500_000_000)
    delays.add(LINES[31:32], now_ns=1_750_000_000)

    assert delays.seconds == [0.75]


@given(st.sets(st.integers(min_value=1, max_value=len(LINES) - 1)))
def test_every_line_is_counted_once_wherever_the_stream_is_cut(cuts: set[int]) -> None:
    delays = Delays()
    edges = [0, *sorted(cuts), len(LINES)]
    for start, end in pairwise(edges):
        delays.add(memoryview(LINES)[start:end], now_ns=10_000_000_000)

    assert delays.seconds == pytest.approx([9, 8, 7, 6, 5])
