"""In an event loop until it is done, or until whoever waits for it wants it to end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from signal import SIG_IGN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, Signals, getsignal
from typing import TYPE_CHECKING, Any, TypeVar

from gproc.cli.console import note
from gproc.cli.entry import settle_heap
from gproc.errors import CertificateRefused, ConfigError, Unavailable

if TYPE_CHECKING:
    from gproc.client import Client

__all__ = ["abandon_lookups", "reach", "run_async"]

Result = TypeVar("Result")

_ENDING = (SIGTERM, SIGHUP, SIGQUIT)
_QUIET_SECONDS = 2.0
_CONNECT_SECONDS = 10.0


class _Abandoned(ThreadPoolExecutor):
    """Threads that nobody waits for when the loop ends: the process does not end by waiting for them, either."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 (as asyncio asks)
        super().shutdown(wait=False, cancel_futures=True)


def abandon_lookups() -> None:
    """Let the running loop end while a name is looked up, which cannot be cancelled, and may take half a minute."""
    asyncio.get_running_loop().set_default_executor(_Abandoned())


async def reach(client: Client) -> None:
    """Connect, with a word for whoever waits; raise `Unavailable` if nobody answers for too long.

    A refusal is not raised: the first request tries again for a while, and tells it then.
    """
    abandon_lookups()
    told = asyncio.get_running_loop().call_later(_QUIET_SECONDS, note, f"waiting for {client.address} to answer")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.connect()
    except TimeoutError:
        raise Unavailable(
            f"{client.address}: no answer within {_CONNECT_SECONDS:g} s; check --addr; is a firewall in between?"
        ) from None
    except CertificateRefused:
        raise
    except Unavailable:
        pass
    except UnicodeError:  # a part of the name is longer than names are, or is no text
        raise ConfigError(f"{client.address}: no host can have this name; check --addr") from None
    finally:
        told.cancel()


def run_async(action: Coroutine[Any, Any, Result], *, cleans_up: bool = False) -> Result:
    """Run *action* in a loop of its own and return what it returns; Ctrl-C, SIGTERM, SIGHUP and SIGQUIT cancel it.

    Raises `KeyboardInterrupt` if Ctrl-C ended it, however it did, and `SystemExit` with 128 and its number if another
    signal did. What comes first counts: a second SIGTERM changes nothing, and neither does a second Ctrl-C if the
    action *cleans_up*.
    """
    settle_heap()
    received: list[Signals] = []
    signals = (*_ENDING, SIGINT) if cleans_up else _ENDING
    try:
        return asyncio.run(_cancelled_by(signals, action, received))
    except asyncio.CancelledError:
        if received and received[0] is not SIGINT:
            raise SystemExit(128 + received[0]) from None
        raise KeyboardInterrupt from None


async def _cancelled_by(
    signals: Sequence[Signals], action: Coroutine[Any, Any, Result], received: list[Signals]
) -> Result:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def leave(signum: Signals) -> None:
        received.append(signum)
        if len(received) == 1 and task is not None:
            task.cancel()

    for signum in signals:
        if getsignal(signum) is not SIG_IGN:  # as nohup wants it
            loop.add_signal_handler(signum, leave, signum)
    return await action
