from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gproc.server.loop import SWITCH, loop_factory, run


async def name_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvloop")
    monkeypatch.delenv(SWITCH, raising=False)
    # In another process: libuv opens a pipe for signals, once and for all.
    program = (
        "import asyncio, gproc.server.loop as it\n"
        "async def f(): return type(asyncio.get_running_loop())\n"
        "print(it.run(f()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert "uvloop" in said


def test_uvloop_is_left_out_if_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "asyncio")
    assert run(name_of_loop()) == "asyncio"


def test_without_uvloop_the_loop_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory("") is None
