from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gproc.cli.loop import abandon_lookups, run_async


def test_a_name_that_is_still_being_looked_up_holds_up_nobody_who_leaves() -> None:
    answered = threading.Event()

    async def look_up() -> None:
        abandon_lookups()
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, answered.wait, 10), 0.05)

    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            run_async(look_up())
        assert time.monotonic() - began < 5
    finally:
        answered.set()
