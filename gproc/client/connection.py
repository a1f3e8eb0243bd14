"""One server, and how to speak with it: connect, call, and tell what went wrong in words of Gproc.

The only module that knows grpclib. Errors that leave it are `GprocError`s; nothing here tries twice: that is
`gproc.client.persistence`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpclib.client
from grpclib.config import Configuration
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol

from gproc.client.address import Address
from gproc.errors import CertificateRefused, GprocError, InternalError, InvalidArgument, Unavailable
from gproc.model import JobId, OutputEvent, OutputRange
from gproc.wire import (
    Method,
    ReplyCodec,
    StatusDetailsCodec,
    connection_error,
    event_from_message,
    from_grpc_error,
    output_range_to_message,
)
from gproc.wire.methods import GET_OUTPUT

__all__ = ["Connection"]

CONNECT_SECONDS = 10.0
"""How long the name, the TCP connection and the TLS handshake may take together."""
GOODBYE_SECONDS = 1.0
"""How long the server may take to answer a close before the connection is simply dropped."""
KEEPALIVE = Configuration(
    _keepalive_time=60.0,
    _keepalive_timeout=20.0,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=30.0,
)
"""A server that is gone without a word is noticed within 80 s, also while a job is silent."""

_Request = TypeVar("_Request")
_Reply = TypeVar("_Reply")
_T = TypeVar("_T")


class Connection:
    """The way to one server: dials when it is needed, and again after a break."""

    def __init__(self, address: Address, tls: ssl.SSLContext) -> None:
        self.address = address
        self.is_closed = False
        self.was_reached = False
        """Whether the server has ever answered a call."""
        self._tls = tls
        self._channel: _Channel | None = None
        self._retired: list[_Channel] = []

    async def connect(self) -> None:
        """Be connected; raises `Unavailable` or `CertificateRefused`."""
        await self.dial()

    async def aclose(self) -> None:
        """Close for good; what still runs over it fails with `Unavailable`. Closing again does nothing."""
        self.is_closed = True
        channels = [*self._retired, *([] if self._channel is None else [self._channel])]
        self._channel = None
        self._retired = []
        await asyncio.gather(*(channel.aclose() for channel in channels))

    async def call(self, method: Method[_Request, _Reply], request: _Request, *, seconds: float | None) -> _Reply:
        """Send *request*, return the reply; raises a `GprocError`, `DeadlineExceeded` after so many *seconds*.

        If cancelled, the server is told.
        """
        async with _Call(self, method, seconds) as call:
            await call.send(request)
            reply = await call.receive()
            await call.finish()
        if reply is None:
            raise InternalError(f"the server answered {method.name} with success and no message")
        return reply

    async def replies(self, method: Method[_Request, _Reply], request: _Request) -> AsyncGenerator[_Reply, None]:
        """Send *request*, yield every reply; ends when the server says that it was all. Iterate under `aclosing`."""
        async with _Call(self, method, None) as call:
            await call.send(request)
            while (reply := await call.receive()) is not None:
                yield reply
            await call.finish()

    async def output(self, job_id: JobId, wanted: OutputRange) -> AsyncGenerator[OutputEvent, None]:
        """Yield one stream of output, as it comes. The one place that decides how output is received."""
        async with aclosing(self.replies(GET_OUTPUT, output_range_to_message(job_id, wanted))) as messages:
            async for message in messages:
                try:
                    event = event_from_message(message)
                except InvalidArgument as error:
                    raise InternalError(f"the server's output cannot be read: {error}") from None
                yield event

    async def dial(self) -> tuple[_Channel, _Protocol]:
        """Return a channel that is connected."""
        if self.is_closed:
            raise Unavailable(f"{self.address}: this client is closed; make a new one")
        if self._channel is None:
            self._channel = _Channel(self.address, self._tls)
        channel = self._channel
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                protocol = await channel.dial()
        except TimeoutError:
            raise Unavailable(
                f"{self.address}: no connection within {CONNECT_SECONDS:g} s; check --addr and the network"
            ) from None
        except (OSError, EOFError) as error:
            raise connection_error(error, str(self.address)) from error
        if protocol.alpn != "h2":
            await channel.aclose()
            raise Unavailable(f"{self.address}: speaks TLS, but not HTTP/2; check --addr")
        return channel, protocol

    def retire(self, channel: _Channel) -> None:
        """Begin no more calls over *channel*; those that run go on."""
        self._retired = [old for old in self._retired if old.is_connected]
        if channel is self._channel:
            self._channel = None
            self._retired.append(channel)


class _Protocol(H2Protocol):
    """grpclib's protocol, which also remembers why it ended."""

    alpn: str | None = None
    lost: BaseException | None = None
    has_heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.gone = asyncio.Event()
        tls = transport.get_extra_info("ssl_object")
        self.alpn = tls.selected_alpn_protocol() if tls is not None else None
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc
        super().connection_lost(exc)
        self.gone.set()

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


class _Channel(grpclib.client.Channel):
    """grpclib's channel with our protocol, codec and patience for silence."""

    def __init__(self, address: Address, tls: ssl.SSLContext) -> None:
        super().__init__(
            address.host,
            address.port,
            ssl=tls,
            codec=ReplyCodec(),
            status_details_codec=StatusDetailsCodec(),
            config=KEEPALIVE,
        )

    @property
    def is_connected(self) -> bool:
        return self._connected

    async def dial(self) -> _Protocol:
        protocol = await self.__connect__()
        assert isinstance(protocol, _Protocol)  # noqa: S101 -- made below
        return protocol

    async def aclose(self) -> None:
        """Close, and wait a moment until both sides have said goodbye."""
        protocol = self._protocol
        self.close()
        if isinstance(protocol, _Protocol):
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await protocol.gone.wait()
            except TimeoutError:
                protocol.abort()

    def _protocol_factory(self) -> H2Protocol:
        return _Protocol(grpclib.client.Handler(), self._config, self._h2_config)


class _Call(Generic[_Request, _Reply]):
    """One call: grpclib's stream, whose errors are told in words of Gproc."""

    def __init__(self, connection: Connection, method: Method[_Request, _Reply], seconds: float | None) -> None:
        self._connection = connection
        self._method = method
        self._seconds = seconds

    async def __aenter__(self) -> Self:
        self._channel, self._protocol = await self._connection.dial()
        method = self._method
        self._stream: grpclib.client.Stream[Any, Any] = self._channel.request(
            method.path, method.cardinality, method.request, method.reply, timeout=self._seconds
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

    async def send(self, request: _Request) -> None:
        await self._told(self._stream.send_message(request, end=True))

    async def receive(self) -> _Reply | None:
        reply: _Reply | None = await self._told(self._stream.recv_message())
        if reply is not None:
            self._connection.was_reached = True
        return reply

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
        if isinstance(error, StreamTerminatedError):
            try:
                self._stream._maybe_raise()  # noqa: SLF001 -- a verdict that came just before the end counts more
            except GRPCError as verdict:
                return self._verdict(from_grpc_error(verdict))
        if isinstance(error, GRPCError):
            return self._verdict(from_grpc_error(error))
        if isinstance(error, TimeoutError):
            return connection_error(error, f"{self._connection.address}: {self._method.name}")
        if self._channel.is_connected and not isinstance(error, (StreamTerminatedError, OSError)):
            return InternalError(f"{self._method.name} failed in the client: {type(error).__name__}: {error}")
        return self._break(error)

    def _break(self, error: Exception) -> GprocError:
        """Return what the loss of the connection means; why it was lost says more than how the call noticed."""
        address = str(self._connection.address)
        lost = self._protocol.lost
        if not self._protocol.has_heard and not isinstance(lost, ssl.SSLError):
            return Unavailable(
                f"{address}: the connection was closed before the server said anything; "
                "if that goes on, it may not accept this certificate: see its log"
            )
        return connection_error(lost if isinstance(lost, OSError) else error, address)

    def _verdict(self, error: GprocError) -> GprocError:
        """Take note that the server has answered; one that is going away is not asked again over this connection."""
        self._connection.was_reached = True
        if isinstance(error, Unavailable) and not isinstance(error, CertificateRefused):
            self._connection.retire(self._channel)
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
