from __future__ import annotations

import asyncio

import pytest

from gproc.errors import Unavailable
from gproc.server.followers import Followers


async def test_a_follower_gets_what_it_waits_for() -> None:
    with Followers().joined() as follower:
        assert await follower.wait_for(asyncio.sleep(0, "news")) == "news"


async def test_a_waiting_follower_is_sent_away_at_once() -> None:
    followers, entered = Followers(), asyncio.Event()

    async def follow() -> None:
        with followers.joined() as follower:
            entered.set()
            await follower.wait_for(asyncio.Event().wait())

    task = asyncio.create_task(follow())
    await entered.wait()
    followers.dismiss()
    followers.dismiss()
    with pytest.raises(Unavailable, match="shutting down"):
        await asyncio.wait_for(task, 5)
    assert len(followers) == 0
    assert task.cancelling() == 0


async def test_a_busy_follower_is_sent_away_when_it_waits_again() -> None:
    followers = Followers()
    with followers.joined() as follower:
        await follower.wait_for(asyncio.sleep(0))
        followers.dismiss()
        await asyncio.sleep(0)  # still sending: it is not disturbed
        with pytest.raises(Unavailable):
            await follower.wait_for(asyncio.Event().wait())


async def test_who_comes_too_late_is_sent_away() -> None:
    followers = Followers()
    followers.dismiss()
    with pytest.raises(Unavailable), followers.joined() as follower:
        await follower.wait_for(asyncio.Event().wait())


async def test_a_client_that_leaves_cancels_and_nothing_else_is_made_of_it() -> None:
    followers, entered = Followers(), asyncio.Event()

    async def follow() -> None:
        with followers.joined() as follower:
            entered.set()
            await follower.wait_for(asyncio.Event().wait())

    task = asyncio.create_task(follow())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(followers) == 0


async def test_who_need_not_wait_is_sent_away_before_the_next_message_and_not_in_the_middle_of_it() -> None:
    followers = Followers()

    async def at_once() -> int:
        return 1

    with followers.joined() as follower:
        assert await follower.wait_for(at_once()) == 1
        followers.dismiss()
        with pytest.raises(Unavailable):
            await follower.wait_for(at_once())
        await asyncio.sleep(0)
