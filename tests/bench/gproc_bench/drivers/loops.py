"""Runs a client on uvloop where it is found: the harness hides it from the processes that are to use asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec

__all__ = ["run"]


def run(main: Coroutine[object, object, None]) -> None:
    """Run *main* to its end."""
    try:
        start = import_module("uvloop").run if find_spec("uvloop") else asyncio.run
    except ImportError:
        start = asyncio.run
    start(main)
