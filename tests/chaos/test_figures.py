from __future__ import annotations

import random
from pathlib import Path

import pytest
from gproc_chaos.figure import Stage
from gproc_chaos.figures import FIGURES


@pytest.mark.parametrize("name", FIGURES)
async def test_the_figure_is_as_it_is_wanted(name: str, tmp_path: Path) -> None:
    checks = await FIGURES[name].run(Stage(directory=tmp_path, chance=random.Random()))
    assert checks
    assert [check for check in checks if not check.is_ok] == []
