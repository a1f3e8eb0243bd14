"""grpclib's channel for a client that wants much, and wants to know when its server is gone.

It connects within a limit, announces large windows and frames, asks a silent server whether it is there, and when a
server tells it to go (GOAWAY), requests in progress finish on the old connection while new ones open another. grpclib
ends everything at that moment.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import ssl as tls
from typing import Any, cast

from grpclib.client import Channel, Handler
from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.protocol import H2Protocol
from h2.config import H2Configuration

from gproc.transport.inbound import ClientProtocol
from gproc.transport.limits import CLIENT_LIMITS, TransportLimits
from gproc.transport.log import EventLog
from gproc.transport.secure import SecureTransport

__all__ = ["HardenedChannel", "NotHttp2Error"]


_CLOSED = "the channel was closed"


class NotHttp2Error(ConnectionError):
    """The server did not agree to speak HTTP/2."""


class HardenedChannel(Channel):
    """A channel to one server. Use it from one event loop; `close` it, or leave its ``async with``, at the end."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ssl: tls.SSLContext,
        server_hostname: str | None = None,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        limits: TransportLimits = CLIENT_LIMITS,
    ) -> None:
        """Make a channel; it connects with the first request.

        *server_hostname*: the name that the server's certificate must have, if it is not *host*.
        """
        config = Configuration(ssl_target_name_override=server_hostname)
        super().__init__(host, port, ssl=ssl, codec=codec, status_details_codec=status_details_codec, config=config)
        self.limits = limits
        self._context = ssl
        self._h2_config = H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._log = EventLog()
        self._scratch = memoryview(bytearray(limits.read_size))
        self._protocols: set[_ChannelProtocol] = set()
        self._dialling: asyncio.Timeout | None = None
        self._is_closed = False

    def _protocol_factory(self) -> H2Protocol:
        protocol = _ChannelProtocol(
            self._protocols,
            Handler(),
            config=self._config,
            h2_config=self._h2_config,
            limits=self.limits,
            log=self._log,
        )
        return cast("H2Protocol", protocol)  # looks like one

    async def _create_connection(self) -> H2Protocol:
        limits = self.limits
        if self._is_closed:
            raise ConnectionAbortedError(_CLOSED)
        try:
            async with asyncio.timeout(limits.connect_timeout) as self._dialling:
                return await self._connect_securely()
        except TimeoutError as error:
            if self._is_closed:
                raise ConnectionAbortedError(_CLOSED) from None
            limit = f"{limits.connect_timeout:g} s"
            raise TimeoutError(f"{self._host}:{self._port}: no connection within {limit}") from error
        except OSError as error:
            raise _as_one(error) from error.__cause__
        finally:
            self._dialling = None

    async def _connect_securely(self) -> H2Protocol:
        limits, protocol = self.limits, self._protocol_factory()
        secure = SecureTransport(
            lambda: cast("asyncio.BufferedProtocol", protocol),
            self._context,
            scratch=self._scratch,
            shutdown_timeout=limits.shutdown_timeout,
            server_hostname=self._config.ssl_target_name_override or self._host,
        )
        try:
            await self._loop.create_connection(lambda: secure, self._host, self._port)
            await secure.shake(limits.connect_timeout)
            if secure.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
                raise NotHttp2Error(f"{self._host}:{self._port} speaks TLS, but not HTTP/2")  # noqa: TRY301
        except BaseException:
            secure.abort()
            secure.connection_lost(None)  # uvloop closes the socket of a cancelled create_connection without a word
            raise
        return protocol

    @property
    def _connected(self) -> bool:
        protocol = cast("_ChannelProtocol | None", self._protocol)
        return protocol is not None and not (
            protocol.handler.connection_lost or protocol.connection.is_leaving or protocol.connection.is_closing()
        )

    def close(self) -> None:
        """Close all connections, for good; requests in progress end with `ConnectionLost`. May be called twice.

        Those that wait for a connection end with `ConnectionAbortedError`.
        """
        self._is_closed = True
        if self._dialling is not None and not self._dialling.expired():
            self._dialling.reschedule(self._loop.time())
        for protocol in list(self._protocols):
            protocol.processor.close(_CLOSED)
        super().close()

    async def wait_closed(self) -> None:
        """Wait until the connections are gone; those that take too long are dropped."""
        closing = [protocol.gone.wait() for protocol in self._protocols]
        if closing:
            try:
                async with asyncio.timeout(self.limits.close_timeout):
                    await asyncio.gather(*closing)
            except TimeoutError:
                for protocol in list(self._protocols):
                    protocol.connection.drop()


class _ChannelProtocol(ClientProtocol):
    """A connection that its channel knows about."""

    handler: Handler

    def __init__(self, siblings: set[_ChannelProtocol], *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._siblings = siblings
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._siblings.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._siblings.discard(self)
        self.gone.set()


def _as_one(error: OSError) -> OSError:
    """Return *error*, or what it stands for: of several addresses, asyncio tells the errors in one text only."""
    numbers = [int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))]
    if error.errno is not None or not numbers:
        return error
    number = errno.ECONNREFUSED if errno.ECONNREFUSED in numbers else numbers[-1]
    return OSError(number, os.strerror(number))
