from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("leftover", [None, "", "raise ImportError('half gone')"], ids=["empty", "bare", "broken"])
def test_what_is_left_of_pytest_asyncio_does_not_break_every_run(tmp_path: Path, leftover: str | None) -> None:
    (tmp_path / "pytest_asyncio").mkdir()
    if leftover is not None:
        (tmp_path / "pytest_asyncio" / "__init__.py").write_text(leftover, encoding="utf-8")
    (tmp_path / "test_one.py").write_text(
        "def test_blocking(gproc_server):\n    assert gproc_server.blocking_client('alice').start('true').id\n",
        encoding="utf-8",
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gproc.testing.plugin"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
