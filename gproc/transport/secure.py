"""TLS between the transport of a socket and the protocol that speaks through it.

To the socket's transport this is a protocol, to the protocol above it is a transport; in between are OpenSSL and two
buffers of its own. asyncio has such a layer, too. This one takes its place because output goes through it, and is the
last step of the fast path (`fastpath`) on its way out, the first on its way in:

- it decrypts into whatever buffer the protocol wants filled next, as often as there is something to decrypt, so that
  the bytes of a large message arrive where they are to stay;
- it encrypts what it is given piece by piece, without joining the pieces first;
- what arrives encrypted lies in *scratch*, which connections of one loop share: it is empty again before the next one
  reads. asyncio keeps 256 KiB for each;
- a peer whose handshake is refused is sent the alert that says why.

Reading cannot be paused, and there is no half-closed state: HTTP/2 needs neither.
"""

from __future__ import annotations

import asyncio
import fcntl
import ssl as tls
import sys
import termios
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum, auto
from typing import Any, cast

__all__ = ["SecureTransport"]

_RECORD = 16 * 1024
"""The most that one record of TLS carries, and so what one call decrypts."""
_BURST = 7 * _RECORD
"""What is encrypted before it is given to the socket: little enough to stay in the processor's cache.

As TLS it fits into two segments of the loopback interface, of 65,483 bytes each; eight records would not. Four are a
few bytes more than one segment, and cost an eighth more time in all.
"""
_MOST_ANSWERS = 16 * 1024
"""What TLS itself may answer to a peer that does not read: hundreds of answers, and honest peers ask for a few."""


class _State(Enum):
    SHAKING = auto()
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


class SecureTransport(asyncio.BufferedProtocol, asyncio.Transport):
    """One connection under TLS. *make_protocol* is called, and its protocol told, when the handshake has succeeded.

    It is a protocol for `asyncio.loop.create_connection` and ``connect_accepted_socket``; after these, await `shake`.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.BufferedProtocol],
        context: tls.SSLContext,
        *,
        scratch: memoryview,
        shutdown_timeout: float,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self._make_protocol = make_protocol
        self._incoming, self._outgoing = tls.MemoryBIO(), tls.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._scratch = scratch
        self._shutdown_timeout = shutdown_timeout
        self._state = _State.SHAKING
        self._protocol: asyncio.BufferedProtocol | None = None
        self._pipe: asyncio.Transport | None = None
        self._small = bytearray()  # what was written in this turn of the loop
        self._is_paused = False  # whether more waits for the socket than should
        self._answers = 0  # bytes that TLS itself has answered meanwhile
        self._is_over = False  # whether nothing more can be read
        self._error: Exception | None = None
        self._shutdown: asyncio.TimerHandle | None = None
        self._shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()

    # Beginning and ending, for whoever made it

    async def shake(self, limit: float) -> None:
        """Wait until the handshake has succeeded.

        Raises what TLS says (`ssl.SSLError`), or `ConnectionError` if the peer leaves or takes longer than *limit*
        seconds. Cancelled, or out of time, it drops the connection.
        """
        try:
            async with asyncio.timeout(limit):
                await self._shaken
        except TimeoutError:
            self.abort()
            raise ConnectionAbortedError(f"the TLS handshake takes longer than {limit:g} s") from None
        except asyncio.CancelledError:
            self.abort()
            raise

    async def wait_gone(self, limit: float) -> None:
        """Wait until the peer has hung up, for *limit* seconds at most, and drop the connection then."""
        try:
            async with asyncio.timeout(limit):
                await self._gone.wait()
        except TimeoutError:
            pass
        finally:
            self.abort()

    # What the transport of the socket calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._pipe = cast("asyncio.Transport", transport)
        if self._state is _State.GONE:
            self.abort()
        else:
            self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as much as it likes, as much as we allow
        """Return where encrypted bytes go."""
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Take *nbytes* encrypted bytes, and do what they ask for; one that was refused may say what it likes."""
        if self._state is _State.GONE:
            return
        self._incoming.write(self._scratch[:nbytes])
        self._go_on()

    def eof_received(self) -> None:
        """Take what is left; the socket's transport closes then, for TLS knows no half-closed connection either."""
        self._incoming.write_eof()
        if self._state is _State.SHAKING:
            self._refuse(ConnectionResetError("the peer hung up during the TLS handshake"))
        else:
            self._go_on()

    def pause_writing(self) -> None:
        """Make the protocol wait."""
        self._is_paused, self._answers = True, 0
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Let the protocol go on."""
        self._is_paused = False
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol, and forget it."""
        self._state = _State.GONE
        if self._shutdown is not None:
            self._shutdown.cancel()
        self._settle(exc or ConnectionResetError("the connection was lost during the TLS handshake"))
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(self._error or exc)
        self._gone.set()

    # What the protocol calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data* at the end of this turn of the loop, with all else that is written until then.

        Headers, a message and trailers so are one record of TLS, one call of the system, and wake the peer once.
        Nothing happens when it is closing.
        """
        if self._state is not _State.OPEN:
            return
        if not self._small:
            asyncio.get_running_loop().call_soon(self._send_small)
        self._small += data
        if len(self._small) >= _RECORD:
            self._send_small()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send the pieces now, one after the other, without joining them."""
        self._send_small()
        self._send(list_of_data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say how much may wait for the socket before the protocol is told to pause."""
        if self._pipe is not None:
            self._pipe.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return how many encrypted bytes the peer's system has not taken yet: what waits here, and in ours."""
        if self._pipe is None or self._pipe.is_closing():  # what it had as descriptor may be another's by now
            return 0
        # tcp(7) calls it SIOCOUTQ.
        in_system = fcntl.ioctl(self._pipe.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return self._pipe.get_write_buffer_size() + int.from_bytes(in_system, sys.byteorder)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the TLS object as ``ssl_object``, or what the socket's transport knows."""
        if name == "ssl_object":
            return self._tls
        return default if self._pipe is None else self._pipe.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether it was closed, or dropped, or lost."""
        return self._state is _State.CLOSING or self._state is _State.GONE

    def close(self) -> None:
        """Say that this is the end, after everything that was written, and hang up when the peer has said so, too."""
        if self._state is not _State.OPEN:
            if self._state is _State.SHAKING:
                self.abort()
            return
        self._send_small()
        self._state = _State.CLOSING
        self._shutdown = asyncio.get_running_loop().call_later(self._shutdown_timeout, self.abort)
        with suppress(tls.SSLError):
            self._tls.unwrap()
        self._flush()
        self._await_goodbye()

    def abort(self) -> None:
        """Drop the connection, and what waits to be sent."""
        self._state = _State.GONE
        pipe, self._pipe = self._pipe, None  # nothing more goes through it, and it may keep this for ever
        if pipe is not None:
            pipe.abort()

    # The states

    def _go_on(self) -> None:
        match self._state:
            case _State.OPEN:
                self._read()
            case _State.SHAKING:
                self._shake()
            case _State.CLOSING:
                self._await_goodbye()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except tls.SSLWantReadError:
            self._flush()
        except tls.SSLError as error:
            self._flush()
            self._refuse(error)
        else:
            self._flush()
            self._open()

    def _open(self) -> None:
        self._state = _State.OPEN
        self._protocol = self._make_protocol()
        del self._make_protocol  # it may hold the protocol, which is going to hold this
        self._protocol.connection_made(self)
        if not self._shaken.done():
            self._shaken.set_result(None)
        self._read()

    def _refuse(self, error: Exception) -> None:
        """End the handshake; whoever waits for it may leave the peer time to read the alert."""
        self._state = _State.GONE
        if self._pipe is not None:
            with suppress(OSError):
                self._pipe.write_eof()
        self._settle(error)

    def _settle(self, error: Exception) -> None:
        if not self._shaken.done():
            self._shaken.set_exception(error)
            self._shaken.exception()  # known by now, should nobody wait for it

    def _read(self) -> None:
        """Decrypt all there is into the buffers of the protocol."""
        has_more = True
        while has_more and self._state is _State.OPEN and self._protocol is not None:
            filled, has_more = self._fill(memoryview(self._protocol.get_buffer(-1)))
            self._answer()
            if filled:
                self._protocol.buffer_updated(filled)
            if self._is_over:
                self.close()

    def _answer(self) -> None:
        """Send what TLS itself answers to what was read, unless the peer only asks and never reads."""
        # OpenSSL answers each request for new keys; the protocol above, which counts what a peer costs, sees neither.
        if self._is_paused:
            self._answers += self._outgoing.pending
            if self._answers > _MOST_ANSWERS:
                self._error = ConnectionAbortedError("the peer has TLS answer, and does not read")
                self.abort()
        self._flush()

    def _fill(self, buffer: memoryview) -> tuple[int, bool]:
        """Return how many bytes were decrypted into *buffer*, and whether there may be more.

        It ends after a record that was not full: a message may end there, so the protocol is asked where to go on.
        """
        filled, size = 0, len(buffer)
        read = cast("Callable[[int, memoryview], int]", self._tls.read)
        try:
            while filled < size:
                count = read(_RECORD, buffer[filled:])
                filled += count
                if count < _RECORD:
                    self._is_over = not count
                    break
        except tls.SSLWantReadError:
            pass
        except tls.SSLEOFError:
            self._is_over = True  # without a word: what was cut off, HTTP/2 knows
        except tls.SSLError as error:
            self._error = error
            self._is_over = True
        else:
            return filled, bool(self._incoming.pending or self._tls.pending())
        return filled, False

    def _await_goodbye(self) -> None:
        """Hang up when the peer has taken its leave; whatever else it still says is of no interest."""
        try:
            while self._tls.read(_RECORD):
                pass
        except tls.SSLWantReadError:
            return
        except tls.SSLError:
            pass  # it hung up without a word, or makes no sense
        if self._pipe is not None:
            self._pipe.close()

    def _send_small(self) -> None:
        if self._small:
            small, self._small = self._small, bytearray()
            self._send((small,))

    def _send(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        if self._state is not _State.OPEN:
            return
        try:
            for piece in pieces:
                self._encrypt(memoryview(piece))
        except tls.SSLError as error:
            if not self._is_over:  # else it is about to be closed, and why is known
                self._error = error
                self.abort()
        self._flush()

    def _encrypt(self, data: memoryview) -> None:
        for start in range(0, len(data), _BURST):
            self._tls.write(data[start : start + _BURST])
            if self._outgoing.pending >= _BURST:
                self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._pipe is not None:
            self._pipe.write(self._outgoing.read())
