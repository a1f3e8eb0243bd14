"""The output of a job as an iterator that survives broken connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self

from gproc.client.connection import Connection
from gproc.client.persistence import OnBreak, Persistence
from gproc.client.resume import Patience, Progress
from gproc.errors import GprocError, Unavailable
from gproc.model import Chunk, Gap, JobId, JobStatus, OutputEvent, OutputRange

__all__ = ["Output"]

_LAST_WORD_SECONDS = 1.0


class Output:
    """A job's output, piece by piece: every byte once and in order, gaps where the server had to drop some.

    Iterate it with ``async for``; it ends when the job is final and all was read, or at what is there now if it does
    not follow. A broken connection is mended by asking again at the next byte, until the patience is over. Whoever is
    cancelled while a piece is awaited, or is told of an error, may ask for the next one all the same. Leave it early
    under ``async with`` (or call `aclose`), so that the server is told at once.
    """

    def __init__(
        self,
        connection: Connection,
        job_id: JobId,
        wanted: OutputRange,
        patience: Patience,
        on_status: Callable[[JobStatus], object] | None = None,
    ) -> None:
        self._connection = connection
        self._job_id = job_id
        self._progress = Progress(wanted)
        self._persistence = Persistence(patience, connection)
        self._on_status = on_status
        self._pieces = self._follow()

    @property
    def offset(self) -> int:
        """The next byte wanted: ask for it to go on later."""
        return self._progress.offset

    @property
    def end(self) -> JobStatus | None:
        """The status it ended with; None before."""
        return self._progress.end

    @property
    def breaks(self) -> int:
        """How often the connection broke."""
        return self._persistence.breaks

    @property
    def on_break(self) -> OnBreak | None:
        """Who is told of a break before the pause: the error, and the seconds until the next attempt."""
        return self._persistence.on_break

    @on_break.setter
    def on_break(self, told: OnBreak | None) -> None:
        self._persistence.on_break = told

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk | Gap:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Stop reading and tell the server; it is fine to do so twice."""
        await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _follow(self) -> AsyncGenerator[Chunk | Gap, None]:
        try:
            while self._progress.end is None:
                try:
                    async with aclosing(self._one_stream()) as pieces:
                        async for piece in pieces:
                            self._persistence.progress()
                            yield piece
                except Unavailable as error:
                    await self._persistence.pause(error)
        except (Exception, asyncio.CancelledError):
            self._pieces = self._follow()  # this one is over, which would pass for the end of the output
            raise
        if self._on_status is not None:
            self._on_status(self._progress.end)

    async def _one_stream(self) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield pieces until the end; raise `Unavailable` if the stream is over without one."""
        async with aclosing(self._connection.output(self._job_id, self._progress.request())) as events:
            async for event in events:
                piece = self._progress.receive(event)
                if self._progress.end is not None:
                    await _let_end(events)
                    return
                if piece is not None:
                    yield piece
        raise Unavailable(f"job {self._job_id}: the stream of output was closed before its end")


async def _let_end(events: AsyncGenerator[OutputEvent, None]) -> None:
    """Let the server close the stream, so that it need not be reset; whatever it does now, everything has been read."""
    with suppress(GprocError, TimeoutError):
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await anext(events, None)
