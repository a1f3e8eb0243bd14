"""The driver's side of `processes.Driver`: do what each line asks, answer with a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

__all__ = ["Answer", "serve", "serve_async", "tell"]

Answer = Mapping[str, Any]


def serve(deeds: Mapping[str, Callable[..., Answer]]) -> None:
    """Do what is asked until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = deeds[request.pop("do")](**request)
        except Exception as problem:  # noqa: BLE001 - the asker wants to hear of it, whatever it is
            answer = _told(problem)
        tell(json.dumps(answer))


async def serve_async(deeds: Mapping[str, Callable[..., Awaitable[Answer]]]) -> None:
    """Do what is asked, on the event loop, until standard input ends.

    A thread waits for the next line; while something is measured it sleeps in the kernel and takes no time.
    """
    import asyncio  # noqa: PLC0415 - children of `forks` are weighed, and the spawner has none of it

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        try:
            answer = await deeds[request.pop("do")](**request)
        except Exception as problem:  # noqa: BLE001 - the asker wants to hear of it, whatever it is
            answer = _told(problem)
        tell(json.dumps(answer))


def tell(line: str) -> None:
    """Write one line to whoever started this process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _told(problem: Exception) -> Answer:
    return {"error": f"{type(problem).__name__}: {problem}"}
