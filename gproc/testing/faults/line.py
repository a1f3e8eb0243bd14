"""A line between client and server that can be cut, stalled, delayed or slowed to a trickle."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

from gproc.model.address import parse_address

__all__ = ["Line"]

_PIECE = 64 * 1024
_AT_ONCE = struct.pack("ii", 1, 0)


class Line:
    """A TCP proxy in front of *target* (``HOST:PORT``). Use it as an async context manager.

    It hands bytes on as they come until it is told otherwise. Everything takes effect at once for connections that
    are open, and for those to come; `cut` is the exception: it ends those that are open.
    """

    def __init__(self, target: str) -> None:
        self._target = parse_address(target)
        self._server: asyncio.Server | None = None
        self._wires: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._bytes_per_second: float | None = None
        self.accepted = 0
        """How many connections came in so far."""
        self.carried = 0
        """How many bytes went through, in both directions."""

    @property
    def addr(self) -> str:
        """Where clients connect to: the same host name, so that certificates fit, and another port."""
        if self._server is None:
            raise RuntimeError("the line is not open")
        return str(self._target._replace(port=self._server.sockets[0].getsockname()[1]))

    async def __aenter__(self) -> Self:
        # The address the name means first: one listener, one port.
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        tasks = list(self._wires)
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def cut(self) -> int:
        """Reset every open connection, on both sides; return how many there were."""
        wires = dict(self._wires)
        for task, writer in wires.items():
            _reset(writer)
            task.cancel()
        return len(wires)

    def stall(self) -> None:
        """Hand nothing on until `resume`: connections stay open and nothing moves."""
        self._flowing.clear()

    def resume(self) -> None:
        """Hand bytes on again."""
        self._flowing.set()

    def delay(self, seconds: float) -> None:
        """Hold each piece back for so long before it is handed on; 0 for not at all."""
        self._delay = seconds

    def trickle(self, bytes_per_second: float | None) -> None:
        """Hand on at most so many bytes a second on each connection and direction; None for as many as come."""
        self._bytes_per_second = bytes_per_second

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self.accepted += 1
        self._wires[task] = writer
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            # Cut, or the other side is not there: what the client sees is the reset.
            pass
        finally:
            del self._wires[task]
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, their_writer))
                both.create_task(self._carry(their_reader, writer))
        except* OSError:
            pass
        finally:
            _reset(their_writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(self._piece()):
            await self._flowing.wait()
            pause = self._delay + (len(data) / self._bytes_per_second if self._bytes_per_second else 0.0)
            if pause:
                await asyncio.sleep(pause)
                await self._flowing.wait()
            writer.write(data)
            await writer.drain()
            self.carried += len(data)
        with suppress(OSError):
            writer.write_eof() if writer.can_write_eof() else writer.close()

    def _piece(self) -> int:
        """Return how much to take at once: of a trickle, a tenth of a second's worth."""
        return _PIECE if self._bytes_per_second is None else max(1, min(_PIECE, int(self._bytes_per_second / 10)))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side sees a reset, and no end."""
    pipe = writer.get_extra_info("socket")
    if pipe is not None:  # uvloop has none any more for one that is closed
        with suppress(OSError, ValueError):  # it may be closed by now
            pipe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
