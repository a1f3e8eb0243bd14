"""Both sides against asyncio's own TLS, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from gproc.transport.secure import SecureTransport

PATIENCE = 10.0
BLOB = bytes(range(256)) * 4096  # 1 MiB


class Ear(asyncio.BufferedProtocol):
    """Remembers what it hears; its buffers are as large as *sizes* say, by turns."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes or (64 * 1024,)
        self.heard = bytearray()
        self.turns = 0
        self.transport: Any = None
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.can_write = asyncio.Event()
        self.can_write.set()
        self.was_told = asyncio.Event()
        self.times_told = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        self.buffer = memoryview(bytearray(self.sizes[self.turns % len(self.sizes)]))
        self.turns += 1
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self.buffer[:nbytes]
        self.was_told.set()
        self.times_told += 1

    async def has_heard(self, count: int) -> None:
        while len(self.heard) < count:
            self.was_told.clear()
            await self.was_told.wait()

    def pause_writing(self) -> None:
        self.can_write.clear()

    def resume_writing(self) -> None:
        self.can_write.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


def secured(context: ssl.SSLContext, ear: Ear, *, limit: float = 5.0, **options: Any) -> SecureTransport:
    scratch = memoryview(bytearray(16 * 1024))
    return SecureTransport(lambda: ear, context, scratch=scratch, shutdown_timeout=limit, **options)


@asynccontextmanager
async def served(tls: Any, ear: Ear, **options: Any) -> AsyncIterator[tuple[SecureTransport, socket.socket]]:
    """Yield our server's end of a connection, and the socket of the client's."""
    theirs, ours = socket.socketpair()
    for end in (theirs, ours):
        end.setblocking(False)
    secure = secured(tls.server, ear, server_side=True, **options)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: secure, ours)
    try:
        yield secure, theirs
    finally:
        theirs.close()
        await secure.wait_gone(PATIENCE)


@asynccontextmanager
async def connected(
    tls: Any, ear: Ear, context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[SecureTransport, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield our server's end after the handshake, and streams of asyncio at the client's."""
    async with served(tls, ear, **options) as (secure, theirs):
        shaking = asyncio.create_task(secure.shake(PATIENCE))
        reader, writer = await asyncio.open_connection(
            sock=theirs, ssl=context or tls.client(), server_hostname="localhost"
        )
        await shaking
        assert ear.transport is secure
        try:
            yield secure, reader, writer
        finally:
            writer.transport.abort()


def past_tls(writer: asyncio.StreamWriter) -> socket.socket:
    return socket.fromfd(writer.get_extra_info("socket").fileno(), socket.AF_UNIX, socket.SOCK_STREAM)


@pytest.mark.parametrize("sizes", [(1,), (7, 100_000), (16_384,), (16_383, 16_385), (1_000_000,)])
async def test_what_is_heard_is_what_was_said_whatever_buffers_it_comes_in(tls: Any, sizes: tuple[int, ...]) -> None:
    said = BLOB[: 40_000 if sizes == (1,) else None]
    ear = Ear(*sizes)
    async with connected(tls, ear) as (_, _, writer):
        for start in range(0, len(said), 33_333):
            writer.write(said[start : start + 33_333])
        await writer.drain()
        writer.close()
        assert await asyncio.wait_for(ear.lost, PATIENCE) is None
        assert ear.heard == said


@pytest.mark.parametrize("pieces", [[BLOB], [b"", b"a", b""], [b"head", memoryview(BLOB), b"tail"], [BLOB, BLOB]])
async def test_pieces_arrive_one_after_the_other(tls: Any, pieces: list[bytes]) -> None:
    async with connected(tls, Ear()) as (secure, reader, _):
        secure.writelines(pieces)
        said = b"".join(pieces)
        assert await asyncio.wait_for(reader.readexactly(len(said)), PATIENCE) == said


async def test_what_is_written_in_one_turn_of_the_loop_arrives_together(tls: Any) -> None:
    ours, theirs = Ear(), Ear()
    async with served(tls, ours) as (server, sock):
        client = secured(tls.client(), theirs, server_hostname="localhost")
        await asyncio.get_running_loop().create_connection(lambda: client, sock=sock)
        await asyncio.gather(server.shake(PATIENCE), client.shake(PATIENCE))
        for piece in (b"headers", b"message", b"trailers"):
            server.write(piece)
        await asyncio.wait_for(theirs.has_heard(22), PATIENCE)
        assert theirs.heard == b"headersmessagetrailers"
        assert theirs.times_told == 1
        client.abort()


async def test_what_was_written_before_pieces_arrives_before_them(tls: Any) -> None:
    async with connected(tls, Ear()) as (secure, reader, _):
        secure.write(b"headers")
        secure.writelines([b"head", b"data"])
        secure.write(b"trailers")
        assert await asyncio.wait_for(reader.readexactly(23), PATIENCE) == b"headersheaddatatrailers"


async def test_everything_written_before_the_end_arrives(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear) as (secure, reader, _):
        secure.write(BLOB)
        secure.close()
        secure.write(b"too late")
        assert secure.is_closing()
        assert await asyncio.wait_for(reader.read(-1), PATIENCE) == BLOB
        assert await asyncio.wait_for(ear.lost, PATIENCE) is None


async def test_a_peer_that_goes_on_talking_after_our_end_still_hears_all(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear) as (secure, reader, writer):
        secure.write(BLOB)
        secure.close()
        writer.write(BLOB[:100_000])
        assert await asyncio.wait_for(reader.read(-1), PATIENCE) == BLOB
        assert await asyncio.wait_for(ear.lost, PATIENCE) is None
        assert not ear.heard


async def test_a_peer_that_does_not_take_its_leave_is_dropped(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear, limit=0.05) as (secure, _, writer):
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        secure.close()
        assert await asyncio.wait_for(ear.lost, PATIENCE) is None


async def test_a_peer_that_hangs_up_without_a_word_is_gone(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear) as (secure, _, writer):
        writer.write(b"last words")
        await writer.drain()
        with past_tls(writer) as raw:
            raw.shutdown(socket.SHUT_WR)
        assert await asyncio.wait_for(ear.lost, PATIENCE) is None
        assert ear.heard == b"last words"
        assert secure.is_closing()


async def test_nonsense_ends_the_connection_with_what_tls_says(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear) as (_, _, writer):
        with past_tls(writer) as raw:
            raw.send(b"\x17\x03\x03\x00\x20" * 9)
        assert isinstance(await asyncio.wait_for(ear.lost, PATIENCE), ssl.SSLError)


class Chatterbox(Ear):
    """Says something whenever it is about to hear something."""

    def get_buffer(self, sizehint: int) -> memoryview:
        self.transport.write(b"well, ")
        return super().get_buffer(sizehint)


async def test_what_tls_says_is_not_forgotten_over_what_cannot_be_sent_any_more(tls: Any) -> None:
    ear = Chatterbox()
    async with connected(tls, ear) as (_, _, writer):
        with past_tls(writer) as raw:
            raw.send(b"\x17\x03\x03\x00\x20" * 9)
        error = await asyncio.wait_for(ear.lost, PATIENCE)
        assert isinstance(error, ssl.SSLError)
        assert error.reason in {"DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "RECORD_LAYER_FAILURE"}  # as of OpenSSL 3.2


async def test_a_peer_that_hangs_up_before_it_is_answered_is_gone_without_a_fault(tls: Any) -> None:
    ear = Chatterbox()
    async with connected(tls, ear) as (_, _, writer):
        with past_tls(writer) as raw:
            raw.shutdown(socket.SHUT_WR)
        assert await asyncio.wait_for(ear.lost, PATIENCE) is None


async def test_what_a_peer_says_after_it_was_refused_is_kept_nowhere(tls: Any) -> None:
    async with served(tls, Ear()) as (secure, theirs):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(theirs, b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            await secure.shake(PATIENCE)
        await loop.sock_sendall(theirs, BLOB * 8)
        assert secure._incoming.pending < 64 * 1024


async def test_a_protocol_that_writes_too_much_is_told_to_wait(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear) as (secure, reader, writer):
        reading = cast("asyncio.ReadTransport", writer.transport)
        reading.pause_reading()
        secure.set_write_buffer_limits(high=64 * 1024)
        said = 0
        while ear.can_write.is_set():
            secure.write(BLOB)
            said += len(BLOB)
        assert secure.get_write_buffer_size() > 64 * 1024
        reading.resume_reading()
        assert len(await asyncio.wait_for(reader.readexactly(said), PATIENCE)) == said
        await asyncio.wait_for(ear.can_write.wait(), PATIENCE)
        assert secure.get_write_buffer_size() == 0


async def test_what_the_system_keeps_for_a_peer_waits_for_it_too_until_the_socket_is_gone(tls: Any) -> None:
    async with connected(tls, Ear()) as (secure, _, writer):
        assert secure._pipe is not None
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        secure.writelines([bytes(1000)])
        assert secure._pipe.get_write_buffer_size() == 0 < secure.get_write_buffer_size()
        secure._pipe.abort()
        assert secure.get_write_buffer_size() == 0


async def test_a_peer_that_has_tls_answer_and_never_reads_is_dropped(tls: Any) -> None:
    ear = Ear()
    async with connected(tls, ear) as (secure, _, writer):
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        secure.set_write_buffer_limits(high=64 * 1024)
        while ear.can_write.is_set():
            secure.write(BLOB)
        answered = 0
        while not secure.is_closing() and answered < 32 * 1024:
            # Python's ssl cannot ask for new keys; OpenSSL's answer to one who does is a record of 27 bytes.
            answered += secure._outgoing.write(bytes(27))
            writer.write(b"x")
            await asyncio.sleep(0)
        assert isinstance(await asyncio.wait_for(ear.lost, PATIENCE), ConnectionAbortedError)
        assert answered > 16 * 1024


async def test_a_client_without_a_certificate_is_told_why_it_is_refused(tls: Any) -> None:
    async with served(tls, Ear()) as (secure, theirs):
        shaking = asyncio.create_task(secure.shake(PATIENCE))
        reader, writer = await asyncio.open_connection(
            sock=theirs, ssl=tls.client(with_certificate=False), server_hostname="localhost"
        )
        with pytest.raises(ssl.SSLError, match=r"(?i)peer did not return a certificate"):
            await shaking
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate required"):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.transport.abort()


async def test_a_client_that_hangs_up_in_the_handshake_is_told_apart(tls: Any) -> None:
    async with served(tls, Ear()) as (secure, theirs):
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError, match="hung up during the TLS handshake"):
            await secure.shake(PATIENCE)


async def test_a_handshake_that_takes_too_long_is_dropped(tls: Any) -> None:
    async with served(tls, Ear()) as (secure, theirs):
        with pytest.raises(ConnectionAbortedError, match=r"longer than 0\.05 s"):
            await secure.shake(0.05)
        await secure.wait_gone(PATIENCE)
        assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""


async def test_whoever_gives_up_waiting_for_the_handshake_drops_the_connection(tls: Any) -> None:
    async with served(tls, Ear()) as (secure, theirs):
        shaking = asyncio.create_task(secure.shake(PATIENCE))
        await asyncio.sleep(0)
        shaking.cancel()
        await asyncio.wait([shaking])
        assert shaking.cancelled()
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 1), PATIENCE) == b""


async def test_nobody_has_to_wait_for_a_handshake_that_fails(tls: Any) -> None:
    async with served(tls, Ear()) as (secure, theirs):
        await asyncio.get_running_loop().sock_sendall(theirs, b"GET / HTTP/1.1\r\n\r\n")
        theirs.shutdown(socket.SHUT_WR)
        await secure.wait_gone(PATIENCE)


async def test_a_client_finds_out_that_the_server_is_another(tls: Any) -> None:
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls.server)
    async with listening:
        secure = secured(tls.client(), Ear(), server_hostname="example.test")
        port = listening.sockets[0].getsockname()[1]
        await asyncio.get_running_loop().create_connection(lambda: secure, "127.0.0.1", port)
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await secure.shake(PATIENCE)
        await secure.wait_gone(0.05)


async def test_one_that_was_dropped_before_it_was_connected_stays_so(tls: Any) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        secure = secured(tls.server, Ear(), server_side=True)
        secure.abort()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: secure, ours)
        await secure.wait_gone(PATIENCE)
        with pytest.raises(ConnectionResetError):
            await secure.shake(PATIENCE)


async def test_it_works_the_same_on_uvloop(uvloop: Any, tls: Any) -> None:
    async def echo() -> bytes:
        ear = Ear(100_000)
        async with connected(tls, ear) as (secure, reader, writer):
            writer.write(BLOB)
            await writer.drain()
            await asyncio.wait_for(ear.has_heard(len(BLOB)), PATIENCE)
            secure.writelines([b"head", ear.heard])
            secure.close()
            return await reader.read(-1)

    def run() -> bytes:
        with asyncio.Runner(loop_factory=cast("Callable[[], Any]", uvloop.new_event_loop)) as runner:
            return runner.run(echo())

    assert await asyncio.to_thread(run) == b"head" + BLOB


async def test_a_connection_that_is_gone_leaves_nothing_for_the_collector(serve: Any, until: Any) -> None:
    serving = await serve()
    gone: list[weakref.ref[Any]] = []
    gc.disable()
    try:
        async with serving.stub() as stub:
            await stub.echo(b"here")
            gone += [weakref.ref(connection) for connection in serving.server.connections]
            gone += [weakref.ref(connection._pipe) for connection in serving.server.connections]
        await until(lambda: not serving.server.connections)
        assert gone
        await until(lambda: all(ref() is None for ref in gone))
    finally:
        gc.enable()


async def test_a_client_that_reconnects_leaves_nothing_for_the_collector_either(serve: Any, until: Any) -> None:
    serving = await serve()
    gc.disable()
    try:
        async with serving.channel() as channel:
            await channel.__connect__()
            (protocol,) = channel._protocols
            await until(lambda: bool(serving.server.connections))
            gone = [weakref.ref(protocol), weakref.ref(protocol.connection), weakref.ref(protocol.connection._pipe)]
            del protocol
            for connection in serving.server.connections:
                connection.drop()
            await until(lambda: not channel._protocols)
            await channel.__connect__()
            await until(lambda: all(ref() is None for ref in gone))
    finally:
        gc.enable()
