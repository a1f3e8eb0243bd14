"""One server, and how to speak with it: connect, call, and tell what went wrong in words of Gproc.

The only module that knows grpclib. Errors that leave it are `GprocError`s; nothing here tries twice: that is
`gproc.client.persistence`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import grpclib.client
from grpclib.exceptions import GRPCError, StreamTerminatedError

from gproc.errors import CertificateRefused, GprocError, InternalError, InvalidArgument, Unavailable
from gproc.model import JobId, OutputEvent, OutputRange
from gproc.model.address import Address
from gproc.transport import CLIENT_LIMITS, ConnectionLost, HardenedChannel, NotHttp2Error, recv_output
from gproc.transport.inbound import ClientProtocol
from gproc.wire import (
    MAX_REPLY_BYTES,
    Call,
    ReplyCodec,
    StatusDetailsCodec,
    connection_error,
    event_from_bytes,
    from_grpc_error,
)
from gproc.wire.calls import GET_OUTPUT

__all__ = ["Connection", "was_unprocessed"]

LIMITS = replace(CLIENT_LIMITS, message_size=MAX_REPLY_BYTES)

_Reply = TypeVar("_Reply")
_T = TypeVar("_T")


class Connection:
    """The way to one server: dials when it is needed, and again after a break."""

    def __init__(self, address: Address, tls: ssl.SSLContext) -> None:
        self.address = address
        self.closed = asyncio.Event()
        self.was_reached = False
        """Whether the server has ever said anything."""
        self.up_since: float | None = None
        """When it was last made, by the monotonic clock; None if the last attempt failed."""
        self.may_have_asked = False
        """Whether any request left that the server may have taken, whatever came of it."""
        self.hunch: CertificateRefused | None = None
        """The last refusal that was concluded from silence."""
        self._tls = tls
        self._channel: _Channel | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it was closed for good."""
        return self.closed.is_set()

    def is_pointless_after(self, error: Unavailable) -> bool:
        """Whether trying again cannot help."""
        return self.is_closed or (isinstance(error, CertificateRefused) and error is not self.hunch)

    async def connect(self, *, seconds: float | None = None) -> None:
        """Be connected; raises `Unavailable` or `CertificateRefused`, after so many *seconds* at the latest."""
        await self.dial(seconds)

    async def aclose(self) -> None:
        """Close for good; what still runs over it fails with `Unavailable`. Closing again does nothing."""
        self.closed.set()
        if self._channel is not None:
            self._channel.close()
            await self._channel.wait_closed()

    async def call(self, call: Call[Any, _Reply], request: bytes, *, seconds: float | None) -> _Reply:
        """Send *request*, return the reply; raises a `GprocError`, `DeadlineExceeded` after so many *seconds*.

        If cancelled, the server is told.
        """
        async with _Exchange(self, call, seconds) as exchange:
            await exchange.send(request)
            reply = await exchange.receive()
            await exchange.finish()
        if reply is None:
            raise InternalError(f"the server answered {call.name} with success and no message")
        return reply

    async def replies(self, call: Call[Any, _Reply], request: bytes) -> AsyncGenerator[_Reply, None]:
        """Send *request*, yield every reply; ends when the server says that it was all. Iterate under `aclosing`."""
        async with _Exchange(self, call, None) as exchange:
            await exchange.send(request)
            while (reply := await exchange.receive()) is not None:
                yield reply
            await exchange.finish()

    async def output(self, job_id: JobId, wanted: OutputRange) -> AsyncGenerator[OutputEvent, None]:
        """Yield one stream of output as it comes. Iterate under `aclosing`."""
        async with _Exchange(self, GET_OUTPUT, None) as exchange:
            await exchange.send(GET_OUTPUT.write((job_id, wanted)))
            while (message := await exchange.receive_bytes()) is not None:
                try:
                    event = event_from_bytes(message)
                except InvalidArgument as error:
                    raise InternalError(f"the server's output cannot be read: {error}") from None
                yield event
            await exchange.finish()

    async def dial(self, seconds: float | None = None) -> tuple[_Channel, ClientProtocol]:
        """Return a channel and the connection that it has; give up after so many *seconds*, if not before."""
        if self.is_closed:
            raise Unavailable(f"{self.address}: this client is closed; make a new one")
        if self._channel is None:
            self._channel = _Channel(self.address, self._tls)
        if not self._channel.is_of_this_loop:
            raise RuntimeError("this client belongs to another event loop; make one for each")
        was_up_since, self.up_since = self.up_since, None
        # Here, too, for whoever waits until another call has dialled in vain.
        limit = LIMITS.connect_timeout if seconds is None else max(0.0, min(seconds, LIMITS.connect_timeout))
        try:
            async with asyncio.timeout(limit):
                protocol = await self._channel.dial()
        except TimeoutError:
            raise Unavailable(
                f"{self.address}: no connection within {limit:.3g} s; check --addr and the network"
            ) from None
        except NotHttp2Error:
            raise Unavailable(f"{self.address}: speaks TLS, but not HTTP/2; check --addr") from None
        except (OSError, EOFError) as error:
            raise connection_error(error, str(self.address)) from error
        self.up_since = was_up_since or time.monotonic()
        return self._channel, protocol


def was_unprocessed(error: Unavailable) -> bool:
    """Whether the server certainly did not take the request that failed with *error*."""
    return isinstance(error.__cause__, ConnectionLost) and error.__cause__.is_unprocessed


class _Channel(HardenedChannel):
    """A channel to an `Address`, with the codec of Gproc's client."""

    def __init__(self, address: Address, tls: ssl.SSLContext) -> None:
        super().__init__(
            address.host,
            address.port,
            ssl=tls,
            codec=ReplyCodec(),
            status_details_codec=StatusDetailsCodec(),
            limits=LIMITS,
        )

    @property
    def is_connected(self) -> bool:
        return self._connected

    @property
    def is_of_this_loop(self) -> bool:
        return self._loop is asyncio.get_running_loop()

    async def dial(self) -> ClientProtocol:
        return cast("ClientProtocol", await self.__connect__())

    def __del__(self) -> None:
        # grpclib does so at once, but only the loop may, which can be that of another thread, and be over.
        if self._protocol is not None:
            warnings.warn(f"unclosed client of {self._authority}", ResourceWarning, stacklevel=2, source=self)
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._protocol.processor.close)


class _Exchange(Generic[_Reply]):
    """One call under way: grpclib's stream, whose errors are told in words of Gproc."""

    def __init__(self, connection: Connection, call: Call[Any, _Reply], seconds: float | None) -> None:
        self._connection = connection
        self._call = call
        self._seconds = seconds
        self._had_asked = connection.may_have_asked

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        self._channel, self._protocol = await self._connection.dial(self._seconds)
        left = None if self._seconds is None else began + self._seconds - time.monotonic()
        call = self._call
        self._stream: grpclib.client.Stream[Any, Any] = self._channel.request(
            call.path, call.cardinality, bytes, call.reply, timeout=left
        )
        await self._told(self._stream.__aenter__())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self._told(self._stream.__aexit__(kind, error, trace))
            return
        # The error is told already; grpclib only has to give the stream back, and to reset it if it is still open.
        with suppress(GprocError):
            await self._told(self._stream.__aexit__(kind, error, trace))

    async def send(self, request: bytes) -> None:
        self._had_asked, self._connection.may_have_asked = self._connection.may_have_asked, True
        await self._told(self._stream.send_message(request, end=True))

    async def receive(self) -> _Reply | None:
        reply: _Reply | None = await self._told(self._stream.recv_message())
        if reply is not None:
            self._connection.was_reached = True
        return reply

    async def receive_bytes(self) -> memoryview | None:
        message = await self._told(recv_output(self._stream))
        if message is not None:
            self._connection.was_reached = True
        return message

    async def finish(self) -> None:
        """Wait for the server's verdict; raises if it is not OK."""
        await self._told(self._stream.recv_trailing_metadata())

    async def _told(self, awaitable: Awaitable[_T]) -> _T:
        """Await it; any error becomes a `GprocError`."""
        task = asyncio.current_task()
        cancels = 0 if task is None else task.cancelling()
        try:
            return await awaitable
        except (asyncio.CancelledError, GprocError):
            raise
        except Exception as error:
            _settle(task, cancels)
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> GprocError:
        if isinstance(error, StreamTerminatedError) and self._stream._send_request_done:  # noqa: SLF001 -- else no verdict
            try:
                self._stream._maybe_raise()  # noqa: SLF001 -- a verdict that came just before the end counts more
            except GRPCError as verdict:
                return self._verdict(from_grpc_error(verdict))
        if isinstance(error, GRPCError):
            return self._verdict(from_grpc_error(error))
        if isinstance(error, TimeoutError):
            return connection_error(error, f"{self._connection.address}: {self._call.name}")
        if self._channel.is_connected and not isinstance(error, (StreamTerminatedError, OSError)):
            return InternalError(f"{self._call.name} failed in the client: {type(error).__name__}: {error}")
        return self._break(error)

    def _break(self, error: Exception) -> GprocError:
        """Return what the loss of the connection means; why it was lost says more than how the call noticed."""
        address = str(self._connection.address)
        lost = self._protocol.connection.lost_by
        if self._has_heard:
            self._connection.was_reached = True
        elif not isinstance(lost, ssl.SSLError):
            return self._silence(address)
        meaning = connection_error(lost if isinstance(lost, OSError) else error, address)
        if isinstance(meaning, CertificateRefused):
            self._connection.may_have_asked = self._had_asked  # a request is not read before the certificate is
        return meaning

    def _silence(self, address: str) -> GprocError:
        """Return what it means that the connection ended after the handshake and before the server's first byte.

        With TLS 1.3 the server judges our certificate when our handshake is over already, and not every server says why
        it hangs up. From one that was reached before it is a break like any other.
        """
        if self._connection.was_reached:
            return Unavailable(f"{address}: the connection broke before the server said anything; try again")
        hunch = CertificateRefused(
            f"{address}: the server refused this certificate (it hung up after the handshake without a word); "
            "check --cert and --key, or see the server's log"
        )
        self._connection.hunch = hunch
        return hunch

    @property
    def _has_heard(self) -> bool:
        connection = self._protocol.connection
        return connection.heard_at > connection.opened_at

    def _verdict(self, error: GprocError) -> GprocError:
        """Take note that the server has answered."""
        self._connection.was_reached = True
        return error


def _settle(task: asyncio.Task[Any] | None, cancels: int) -> None:
    """Take back the cancellation by which grpclib woke this task.

    grpclib breaks off a wait by cancelling the task and raising another error in its place. The task would count as
    cancelled from then on, and an `asyncio.timeout` around it would no longer work. A second cancellation is real.
    """
    if task is None or task.cancelling() == cancels:
        return
    task.uncancel()
    if task.cancelling() > cancels:
        raise asyncio.CancelledError
