from __future__ import annotations

import asyncio

import pytest

from gproc.worker.changes import Changes


async def test_a_change_wakes_everybody_who_waits() -> None:
    changes = Changes()
    waiting = [asyncio.ensure_future(changes.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    changes.notify()
    await asyncio.gather(*waiting)


async def test_a_change_before_the_wait_does_not_count() -> None:
    changes = Changes()
    changes.notify()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changes.wait(), 0.01)


async def test_d9_whoever_is_cancelled_is_forgotten() -> None:
    changes = Changes()
    one, other = (asyncio.ensure_future(changes.wait()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one])
    assert len(changes._waiters) == 1
    changes.notify()
    await other
    assert changes._waiters == []


async def test_cancelled_between_the_change_and_the_waking_harms_nobody() -> None:
    changes = Changes()
    waiting = asyncio.ensure_future(changes.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    changes.notify()
    with pytest.raises(asyncio.CancelledError):
        await waiting
