from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.cli.render.panes import fit_grid


@pytest.mark.parametrize(
    ("count", "width", "height", "shape"),
    [
        (1, 80, 23, (1, 1)),
        (2, 80, 23, (1, 2)),
        (2, 200, 50, (2, 1)),
        (3, 80, 23, (1, 3)),
        (4, 80, 23, (2, 2)),
        (4, 200, 50, (2, 2)),
        (9, 240, 60, (3, 3)),
    ],
)
def test_panes_are_laid_out_as_one_would(count: int, width: int, height: int, shape: tuple[int, int]) -> None:
    grid = fit_grid(count, width, height)
    assert (grid.columns, grid.rows) == shape


@given(st.integers(1, 200), st.integers(1, 300), st.integers(1, 100))
def test_a_grid_never_leaves_the_terminal(count: int, width: int, height: int) -> None:
    grid = fit_grid(count, width, height)
    assert grid.columns >= 1
    assert grid.rows >= 1
    assert grid.columns * grid.width <= width
    assert grid.rows * grid.height <= height


@given(st.integers(1, 200), st.integers(40, 300), st.integers(6, 100))
def test_as_many_panes_are_shown_as_have_room(count: int, width: int, height: int) -> None:
    grid = fit_grid(count, width, height)
    assert grid.columns * grid.rows >= min(count, (width // 38) * (height // 5))
