"""The server's end of the line to one shim."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from gproc.errors import GprocError, Unavailable
from gproc.model import JobId, JobStatus
from gproc.model.document import status_from_document
from gproc.store.directory import opened
from gproc.store.writer import Extent
from gproc.worker.protocol import VERSION, Lines, Message, encode, failure_from

__all__ = ["ShimLink"]

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0


class ShimLink(asyncio.Protocol):
    """Hears what a shim announces and asks it for things.

    ``changed`` is called after each announcement, and once more when the line is down.
    """

    def __init__(self, *, job_id: JobId, nonce: str, changed: Callable[[ShimLink], None]) -> None:
        self.status: JobStatus | None = None
        self.extent = Extent()
        self.failure: GprocError | None = None
        self.is_down = False
        self._job_id = job_id
        self._nonce = nonce
        self._changed = changed
        self._lines = Lines()
        self._proven = False
        self._questions: dict[int, asyncio.Future[tuple[int, str]]] = {}
        self._asked = 0
        self._transport: asyncio.Transport | None = None
        self._settled = asyncio.get_running_loop().create_future()
        self.is_idle = False
        """Whether the shim waits for another job; see `following`."""
        self.was_mute = False
        """Whether it once did not answer."""

    @classmethod
    async def over(cls, sock: socket.socket, **about: Any) -> Self:
        """Return a link over the connected *sock*, which it then owns."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: cls(**about), sock=sock)
        return link

    @classmethod
    def following(cls, earlier: ShimLink, directory: Path, **about: Any) -> Self:
        """Return the link to the shim of *earlier*, which is idle, and have it run the job in *directory*."""
        link = cls(**about)
        transport, earlier._transport = earlier._transport, None
        if transport is None:
            raise RuntimeError("an idle shim is followed once")
        transport.set_protocol(link)
        link.connection_made(transport)
        transport.write(encode({"run": str(directory)}))
        return link

    @classmethod
    async def to(cls, directory: Path, **about: Any) -> Self:
        """Return a link to the shim that listens in *directory*; raises `OSError` or `TimeoutError`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # Through the descriptor: a socket address has room for 107 bytes, a path may be longer.
            with opened(directory) as fd:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{fd}/shim.sock")
        except BaseException:
            sock.close()
            raise
        return await cls.over(sock, **about)

    async def settled(self, limit: float) -> None:
        """Return when the shim told its status or why there is none, or when the line is down.

        Raises `TimeoutError` after *limit* seconds.
        """
        async with asyncio.timeout(limit):
            await asyncio.shield(self._settled)

    async def ask(self, what: str, **details: object) -> tuple[int, str]:
        """Ask the shim for *what*; return the error number (0: done) and its text.

        Raises `Unavailable` if it does not answer.
        """
        if self._transport is None or self.is_down:
            raise Unavailable(f"job {self._job_id}: its shim cannot be reached now; try again")
        self._asked = seq = self._asked + 1
        answer: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._questions[seq] = answer
        self._transport.write(encode({"ask": what, "seq": seq, **details}))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError as error:
            self.was_mute = True
            raise Unavailable(f"job {self._job_id}: its shim does not answer; try again") from error
        finally:
            self._questions.pop(seq, None)

    def leave_to(self, changed: Callable[[ShimLink], None]) -> None:
        """Have *changed* called from now on, instead of the one who was told until now; questions get no answer."""
        self._changed = changed
        self._give_up_questions()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = transport  # type: ignore[assignment]  # a socket's transport is read and written

    def data_received(self, data: bytes) -> None:  # noqa: D102
        try:
            for message in self._lines.feed(data):
                self._heard(message)
        except (ValueError, KeyError, TypeError, AttributeError):
            # Not a shim, or not this job's: nothing it says counts.
            self.close()
            return
        self._changed(self)

    def connection_lost(self, _error: Exception | None) -> None:  # noqa: D102
        self.is_down = True
        self._give_up_questions()
        self._settle()
        self._changed(self)

    def _give_up_questions(self) -> None:
        for question in self._questions.values():
            if not question.done():
                question.set_exception(Unavailable(f"job {self._job_id}: its shim hung up; try again"))

    def _heard(self, message: Message) -> None:
        if "failed" in message:
            self.failure = failure_from(message["failed"])
            self._settle()
        elif "hello" in message:
            self._prove(message["hello"])
        elif not self._proven:
            raise ValueError("it did not say who it is")
        elif "output" in message:
            self.extent = Extent(*map(int, message["output"][:3]))
        elif "status" in message:
            self.status = status_from_document(message["status"])
            self._settle()
        elif "idle" in message:
            self.is_idle = True
        elif "answer" in message:
            question = self._questions.get(message["answer"])
            if question is not None and not question.done():
                question.set_result((int(message["errno"]), str(message["message"])))

    def _prove(self, hello: Message) -> None:
        if hello["job"] != self._job_id or hello["nonce"] != self._nonce or hello["version"] > VERSION + 1:
            raise ValueError("it is not the shim of this job")
        self._proven = True

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)
