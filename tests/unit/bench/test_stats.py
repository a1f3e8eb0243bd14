from __future__ import annotations

import pytest
from gproc_bench.stats import at_least, at_most, exponent, median, quantile
from hypothesis import given
from hypothesis import strategies as st

numbers = st.lists(st.floats(min_value=1e-6, max_value=1e9), min_size=1, max_size=50)


def test_the_median_is_the_middle_one_whatever_the_order() -> None:
    assert median([9.0, 1.0, 5.0]) == 5.0
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5


def test_one_wild_sample_does_not_move_the_median() -> None:
    assert median([1.0, 1.0, 1.0, 1.0, 1000.0]) == 1.0


@pytest.mark.parametrize("statistic", [median, lambda values: quantile(values, 0.5)])
def test_there_is_no_figure_for_no_samples(statistic: object) -> None:
    assert callable(statistic)
    with pytest.raises(ValueError, match="no values"):
        statistic([])


def test_the_99th_percentile_of_a_hundred_is_the_second_worst() -> None:
    assert quantile([float(value) for value in range(1, 101)], 0.99) == 99.0


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_quantile_needs_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="is no share"):
        quantile([1.0], share)


@given(numbers, st.floats(min_value=0.01, max_value=1.0))
def test_a_quantile_is_a_sample_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) * (1 - 1e-9)


@given(st.floats(min_value=-2, max_value=3), st.floats(min_value=1e-3, max_value=1e3))
def test_the_exponent_of_a_power_is_that_power(power: float, factor: float) -> None:
    costs = {size: factor * size**power for size in (10.0, 100.0, 1000.0)}

    assert exponent(costs) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("costs", [{}, {1.0: 1.0}, {1.0: 1.0, 2.0: 0.0}, {1.0: -1.0, 2.0: 1.0}, {0.0: 1.0, 1.0: 1.0}])
def test_there_is_no_exponent_where_growth_means_nothing(costs: dict[float, float]) -> None:
    assert exponent(costs) is None


def test_at_least_compares_speeds() -> None:
    reach = at_least(2.5)

    assert reach.ratio(ours=1.0, theirs=3.0) == 3.0
    assert reach.is_met_by(2.5)
    assert not reach.is_met_by(2.49)
    assert str(reach) == "≥ 2.5"


def test_at_most_compares_costs() -> None:
    reach = at_most(0.8)

    assert reach.ratio(ours=1.0, theirs=2.0) == 0.5
    assert reach.is_met_by(0.8)
    assert not reach.is_met_by(0.81)
    assert str(reach) == "≤ 0.8"
