"""What the tests of the worker share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gproc_support.supervision import supervised

from gproc.worker import Supervisor


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def supervisor(state_dir: Path) -> AsyncIterator[Supervisor]:
    """A supervisor with nothing in it; what runs at the end is killed."""
    async with supervised(state_dir) as supervisor:
        yield supervisor


@pytest.fixture
def mark(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A text that nobody else has, to find the processes of one test by."""
    return f"MARK-{tmp_path}-{request.node.name}"
