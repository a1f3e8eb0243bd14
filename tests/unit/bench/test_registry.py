from __future__ import annotations

import re
from pathlib import Path

from gproc_bench.measures import MEASURES

DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "performance.md"


def test_every_measure_is_in_the_table_of_the_documentation_in_its_order() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)

    assert described == list(MEASURES)
