"""Which event loop the server runs on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["SWITCH", "loop_factory", "run"]

SWITCH = "GPROC_LOOP"
"""The environment variable that, set to ``asyncio``, keeps uvloop out."""

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run *main* in a loop of its own, uvloop's where it is installed; return what it returns."""
    with asyncio.Runner(loop_factory=loop_factory(os.environ.get(SWITCH, ""))) as runner:
        return runner.run(main)


def loop_factory(wanted: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's loops; None, for asyncio's own, if *wanted* is ``"asyncio"`` or there is no uvloop."""
    if wanted == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 -- it is optional, and takes time only where it is used
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
