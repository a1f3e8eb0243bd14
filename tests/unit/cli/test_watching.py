from __future__ import annotations

import asyncio
import time

import pytest

from gproc.cli.live import watching
from gproc.errors import Unavailable

PAUSE = 0.2


class Server:
    """One that can be reached again at once."""

    async def connect(self) -> None:
        pass


class Said:
    """What was said, and when."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, float]] = []

    def say(self, text: str) -> None:
        self.texts.append((text, time.monotonic()))


async def test_that_the_server_is_back_is_said_when_every_job_was_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "_LOOK_EVERY", 0.01)
    show = Said()
    began = time.monotonic()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        outage = watching._Outage(Server(), show, group)  # type: ignore[arg-type]  # all that it uses of them
        outage.begins(Unavailable("it broke; try again"), 0.0)
        outage.begins(Unavailable("it broke; try again"), PAUSE)
    (broke, _), (back, when) = show.texts
    assert (broke, back) == ("it broke; connecting again, no output is lost", "connected again")
    assert when - began >= PAUSE
