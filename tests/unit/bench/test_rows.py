from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from gproc_bench.rows import Question, Row, Series, Standings, Verdict, bounded, compared
from gproc_bench.stats import at_least, at_most, quantile
from gproc_bench.units import MIB, Unit, bytes_text

QUESTION = Question(measure="replay", unit=Unit.THROUGHPUT, say_size=bytes_text, deciding_size=4 * MIB)
STANDINGS = Standings(
    {
        "gproc": Series({MIB: [1.0, 1.2, 0.8], 4 * MIB: [4.0]}),
        "ssh": Series({MIB: [3.0], 4 * MIB: [12.0, 11.0, 13.0]}),
    },
    {"grpc-go": "go is not installed"},
)


def rows_against(peer: str, **changes: object) -> list[Row]:
    question = replace(QUESTION, **changes)  # type: ignore[arg-type]  # a test changes what it likes
    return list(compared(question, STANDINGS, ["gproc"], {peer: at_least(2.5)}))


def test_there_is_a_row_for_each_size_and_medians_in_it() -> None:
    small, large = rows_against("ssh")

    assert (small.size, small.ours, small.theirs) == (MIB, 1.0, 3.0)
    assert (large.size, large.ours, large.theirs) == (4 * MIB, 4.0, 12.0)


def test_only_the_deciding_size_has_a_verdict() -> None:
    assert [row.verdict for row in rows_against("ssh")] == [Verdict.FOR_INFORMATION, Verdict.REACHED]


def test_a_reach_can_be_missed() -> None:
    rows = compared(QUESTION, STANDINGS, ["gproc"], {"ssh": at_least(3.1)})

    assert [row.verdict for row in rows] == [Verdict.FOR_INFORMATION, Verdict.MISSED]


def test_both_growths_are_in_every_row() -> None:
    for row in rows_against("ssh"):
        assert row.our_growth == pytest.approx(1.0)
        assert row.their_growth == pytest.approx(1.0)


def test_a_missing_peer_is_named_and_our_figures_stand() -> None:
    rows = rows_against("grpc-go")

    assert [row.verdict for row in rows] == [Verdict.NOT_MEASURED, Verdict.NOT_MEASURED]
    assert [row.ours for row in rows] == [1.0, 4.0]
    assert rows[0].notes == ["replay: grpc-go: go is not installed"]


def test_when_both_sides_are_missing_one_row_says_so() -> None:
    nobody = Standings({}, {"gproc": "no server", "ssh": "no sshd"})

    (row,) = compared(QUESTION, nobody, ["gproc"], {"ssh": at_least(1)})

    assert (row.size, row.ours, row.theirs, row.verdict) == (4 * MIB, None, None, Verdict.NOT_MEASURED)
    assert row.notes == ["replay: gproc: no server", "replay: ssh: no sshd"]


def test_another_statistic_than_the_median_can_be_asked_for() -> None:
    (row, _) = rows_against("ssh", statistic=partial(quantile, share=0.99))

    assert row.ours == 1.2


@pytest.mark.parametrize(
    ("unit", "ratio"), [(Unit.THROUGHPUT, 3), (Unit.RATE, 3), (Unit.TIME, 1 / 3), (Unit.MEMORY, 1 / 3)]
)
def test_a_peer_without_a_reach_is_shown_by_what_the_unit_counts_and_not_judged(unit: Unit, ratio: float) -> None:
    rows = list(compared(replace(QUESTION, unit=unit), STANDINGS, ["gproc"], {"ssh": None}))

    assert {row.verdict for row in rows} == {Verdict.FOR_INFORMATION}
    assert rows[1].ratio == pytest.approx(ratio)


@pytest.mark.parametrize(("bound", "verdict"), [(4.0, Verdict.REACHED), (3.9, Verdict.MISSED)])
def test_a_fixed_bound_is_a_cost_that_may_not_be_exceeded(bound: float, verdict: Verdict) -> None:
    rows = list(bounded(QUESTION, STANDINGS, "gproc", bound))

    assert rows[-1].verdict is verdict
    assert rows[-1].reach == at_most(1)


def test_without_a_bound_a_figure_is_for_information() -> None:
    assert {row.verdict for row in bounded(QUESTION, STANDINGS, "ssh", None)} == {Verdict.FOR_INFORMATION}


def test_without_a_figure_there_is_nothing_to_inform_of() -> None:
    (row,) = bounded(QUESTION, STANDINGS, "nobody", None)

    assert row.verdict is Verdict.NOT_MEASURED
