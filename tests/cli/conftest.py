from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture
def matches_snapshot() -> Callable[[str, str], None]:
    """Compare text with the file of that name; with SNAPSHOT_UPDATE=1, write the file instead."""

    def check(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        text = "".join(line.rstrip() + "\n" for line in text.splitlines())
        if os.environ.get("SNAPSHOT_UPDATE"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: look at the text, then run with SNAPSHOT_UPDATE=1"
        assert text == path.read_text(encoding="utf-8"), "meant? SNAPSHOT_UPDATE=1 rewrites it"

    return check
