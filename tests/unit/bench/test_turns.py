from __future__ import annotations

from collections import Counter

from gproc_bench.turns import in_turn
from hypothesis import given
from hypothesis import strategies as st

FIELD = ["gproc", "ssh", "grpcio"]


@given(st.integers(min_value=0, max_value=100))
def test_everybody_has_one_go_in_each_round(turn: int) -> None:
    assert Counter(in_turn(FIELD, turn)) == Counter(FIELD)


def test_nobody_is_always_first_or_always_last() -> None:
    orders = [in_turn(FIELD, turn) for turn in range(6)]

    assert {order[0] for order in orders} == set(FIELD)
    assert {order[-1] for order in orders} == set(FIELD)


def test_two_contenders_change_places() -> None:
    assert [in_turn(["gproc", "ssh"], turn)[0] for turn in range(4)] == ["gproc", "ssh", "ssh", "gproc"]


@given(st.integers(min_value=0, max_value=100))
def test_an_odd_round_is_the_one_before_it_backwards(pair: int) -> None:
    assert in_turn(FIELD, 2 * pair + 1) == in_turn(FIELD, 2 * pair)[::-1]


def test_without_contenders_there_is_no_order() -> None:
    assert in_turn([], 3) == []
