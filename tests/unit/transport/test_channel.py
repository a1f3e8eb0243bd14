"""What a client can count on."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import grpc
import grpclib.client
import grpclib.server
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from gproc.transport import (
    CLIENT_LIMITS,
    ConnectionLost,
    HardenedChannel,
    TransportLimits,
    decode_output,
    encode_output_head,
    recv_output,
)
from gproc.transport.limits import BURST
from gproc.transport.secure import SecureTransport

Until = Callable[[Callable[[], bool]], Awaitable[None]]
SMALL_WINDOWS = replace(CLIENT_LIMITS, stream_window=65_535, connection_window=65_535, frame_size=16_384)


async def _read_all(stub: Any, offset: int = 0) -> bytes:
    received = bytearray()
    async with stub.get.open() as stream:
        await stream.send_message(str(offset).encode(), end=True)
        while (message := await recv_output(stream)) is not None:
            fields = decode_output(message)
            assert fields.offset == offset + len(received)
            received += fields.data
    return bytes(received)


@pytest.fixture
def output() -> bytes:
    return bytes(number * 7 % 251 for number in range(251)) * 12_000  # 3 MB


@pytest.mark.parametrize("limits", [CLIENT_LIMITS, SMALL_WINDOWS])
@pytest.mark.parametrize("piece", [1000, 64 * 1024, BURST, 1_000_000])
async def test_output_arrives_byte_for_byte(serve: Any, output: bytes, limits: TransportLimits, piece: int) -> None:
    serving = await serve()
    serving.service.output, serving.service.piece = output, piece
    async with serving.stub(limits=limits) as stub, asyncio.timeout(30):
        assert await _read_all(stub) == output
        assert await _read_all(stub, offset=1_000_000) == output[1_000_000:]


async def test_many_readers_share_a_connection(serve: Any, output: bytes) -> None:
    serving = await serve()
    serving.service.output = output
    async with serving.stub(limits=SMALL_WINDOWS) as stub, asyncio.timeout(30):
        received = await asyncio.gather(*(_read_all(stub, at * 100_000) for at in range(10)), stub.echo(b"x"))
    assert [len(data) for data in received[:-1]] == [len(output) - at * 100_000 for at in range(10)]


async def test_a_reader_that_pauses_does_not_starve_the_others(serve: Any, output: bytes) -> None:
    serving = await serve()
    serving.service.output = output
    async with serving.stub(limits=SMALL_WINDOWS) as stub, stub.get.open() as paused, asyncio.timeout(30):
        await paused.send_message(b"0", end=True)
        assert await recv_output(paused) is not None
        assert await _read_all(stub) == output
        left = 0
        while (message := await recv_output(paused)) is not None:
            left += len(decode_output(message).data)
        assert left == len(output) - serving.service.piece


async def test_a_reader_that_leaves_ends_the_handler_and_nothing_else(serve: Any, output: bytes, until: Until) -> None:
    serving = await serve()
    serving.service.output = output
    async with serving.stub(limits=SMALL_WINDOWS) as stub, asyncio.timeout(30):
        for _ in range(20):
            async with stub.get.open() as stream:
                await stream.send_message(b"0", end=True)
                await recv_output(stream)
                await stream.cancel()
        await until(lambda: serving.service.cancelled == 20)
        assert await _read_all(stub) == output
        assert len(serving.server.connections) == 1


async def test_a_stream_that_is_cut_says_why_to_a_reader_in_the_middle_of_a_message(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(stall_timeout=0.2))
    serving.service.output, serving.service.piece = bytes(200_000), 200_000
    async with serving.stub(limits=SMALL_WINDOWS) as stub:

        async def read_late() -> None:
            async with stub.get.open() as stream:
                await stream.send_message(b"0", end=True)
                await until(lambda: serving.service.cancelled == 1)
                await recv_output(stream)

        with pytest.raises(GRPCError, match="nothing was read") as caught:
            await read_late()
        assert caught.value.status is Status.UNAVAILABLE


async def test_errors_of_the_server_are_its_status(serve: Any) -> None:
    serving = await serve()
    async with serving.stub() as stub:
        with pytest.raises(GRPCError) as caught:
            await stub.fail(b"x")
        assert caught.value.status is Status.INTERNAL


async def test_a_message_that_is_too_large_is_refused(serve: Any) -> None:
    serving = await serve()
    serving.service.output = bytes(100_000)
    async with serving.stub(limits=replace(CLIENT_LIMITS, message_size=50_000)) as stub:
        with pytest.raises(GRPCError) as caught:
            await _read_all(stub)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        with pytest.raises(GRPCError) as caught:
            await stub.echo(bytes(50_001))
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert await stub.echo(bytes(50_000)) == bytes(50_000)


async def test_h16_after_a_goaway_requests_finish_and_new_ones_open_a_connection(serve: Any, until: Until) -> None:
    serving = await serve()
    async with serving.stub() as stub:
        call = asyncio.create_task(stub.hang(b"x"))
        await serving.service.running.wait()
        (connection,) = serving.server.connections
        connection.leave()
        assert await stub.echo(b"on its way, on the old connection") == b"on its way, on the old connection"
        assert await stub.echo(b"on a new one") == b"on a new one"
        assert len(serving.server.connections) == 2
        serving.service.go_on.set()
        assert await call == b"done"
        await until(lambda: connection not in serving.server.connections)


async def test_a_request_that_a_closing_server_did_not_take_is_known_to_be_safe_to_repeat(serve: Any) -> None:
    serving = await serve()
    async with serving.stub() as stub:
        assert await stub.echo(b"x") == b"x"
        (protocol,) = serving.server._protocols
        call = asyncio.create_task(stub.echo(b"y"))
        await asyncio.sleep(0)  # it is sent, and the server has not read it
        protocol.processor.close("closing")
        with pytest.raises(ConnectionLost) as caught:
            await call
        assert caught.value.is_unprocessed
        assert serving.service.started == 1
        assert await stub.echo(b"z") == b"z"


async def test_closing_ends_requests_in_progress(serve: Any) -> None:
    serving = await serve()
    async with serving.channel() as channel:
        call = asyncio.create_task(grpclib.client.UnaryUnaryMethod(channel, "/test.Service/Hang", bytes, bytes)(b"x"))
        await serving.service.running.wait()
        channel.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await call


async def test_a_server_that_vanishes_is_noticed(serve: Any) -> None:
    serving = await serve()
    async with serving.stub() as stub:
        call = asyncio.create_task(stub.hang(b"x"))
        await serving.service.running.wait()
        (protocol,) = serving.server._protocols
        protocol.connection.drop()
        with pytest.raises(ConnectionLost):
            await call
        assert await stub.echo(b"again") == b"again"


async def test_requests_that_wait_for_their_turn_learn_that_the_connection_is_lost(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(streams=2))
    async with serving.stub() as stub, asyncio.timeout(5):
        assert await stub.echo(b"x") == b"x"  # the client knows the limit by now
        calls = [asyncio.create_task(stub.hang(b"x")) for _ in range(5)]
        await until(lambda: serving.service.heard == 2)
        (protocol,) = serving.server._protocols
        protocol.connection.drop()
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [ConnectionLost] * 5
    assert sum(error.is_unprocessed for error in errors if isinstance(error, ConnectionLost)) == 3


async def test_requests_that_wait_for_their_turn_get_it(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(streams=2))
    async with serving.stub() as stub, asyncio.timeout(5):
        assert await stub.echo(b"x") == b"x"
        calls = [asyncio.create_task(stub.hang(b"x")) for _ in range(5)]
        await until(lambda: serving.service.heard == 2)
        serving.service.go_on.set()
        assert await asyncio.gather(*calls) == [b"done"] * 5


async def test_as_many_requests_run_as_the_server_allows_though_it_says_so_after_they_were_made(
    serve: Any, until: Until
) -> None:
    serving = await serve(limits=TransportLimits(streams=150))
    async with serving.stub() as stub, asyncio.timeout(10):
        await stub.hang.channel.__connect__()  # else all wait for it, and hear the limit with it
        calls = [asyncio.create_task(stub.hang(b"x")) for _ in range(400)]
        await until(lambda: serving.service.heard == 150)
        serving.service.go_on.set()
        assert await asyncio.gather(*calls) == [b"done"] * 400


async def test_readers_of_a_connection_whose_window_is_small_take_turns(serve: Any, output: bytes) -> None:
    serving = await serve()
    serving.service.output = output
    received = [0, 0, 0, 0]

    async def read(stub: Any, number: int) -> None:
        async with stub.get.open() as stream:
            await stream.send_message(b"0", end=True)
            while message := await recv_output(stream):
                received[number] += len(message)

    async with serving.stub(limits=SMALL_WINDOWS) as stub, asyncio.timeout(30):
        readers = [asyncio.create_task(read(stub, number)) for number in range(4)]
        await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        assert min(received) > max(received) // 2, received
        await asyncio.gather(*readers)


async def test_closing_while_it_connects_ends_that_too(tls: Any, until: Until) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = HardenedChannel("127.0.0.1", silent.getsockname()[1], ssl=tls.client())
        connecting = asyncio.create_task(channel.__connect__())
        await until(lambda: channel._dialling is not None)
        channel.close()
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionAbortedError, match="closed"):
                await connecting
    with pytest.raises(ConnectionAbortedError, match="closed"):
        await channel.__connect__()


async def test_on_uvloop_a_connection_that_was_made_for_nobody_any_more_is_gone(
    uvloop: Any, serve: Any, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, made = await serve(), SecureTransport.connection_made

    async def connect_and_cancel() -> None:
        channel = HardenedChannel("localhost", serving.server.port, ssl=tls.client())
        connecting, in_vain = asyncio.create_task(channel.__connect__()), list[SecureTransport]()

        def made_in_vain(transport: SecureTransport, pipe: asyncio.BaseTransport) -> None:
            made(transport, pipe)
            if not transport.get_extra_info("ssl_object").server_side:
                in_vain.append(transport)
                connecting.cancel()

        monkeypatch.setattr(SecureTransport, "connection_made", made_in_vain)
        await asyncio.wait([connecting])
        async with asyncio.timeout(5):
            await in_vain[0]._gone.wait()
        assert not channel._protocols
        channel.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(connect_and_cancel())

    await asyncio.to_thread(run)


async def test_connecting_to_a_server_that_says_nothing_has_a_time_limit(tls: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        channel = HardenedChannel(
            "127.0.0.1", port, ssl=tls.client(), limits=replace(CLIENT_LIMITS, connect_timeout=0.1)
        )
        with pytest.raises(TimeoutError, match=f"127.0.0.1:{port}: no connection within 0.1 s"):
            await channel.__connect__()
        channel.close()


async def test_a_server_that_is_not_there_is_the_systems_error(tls: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    channel = HardenedChannel("127.0.0.1", port, ssl=tls.client())
    with pytest.raises(ConnectionRefusedError):
        await channel.__connect__()
    channel.close()


async def test_a_server_that_is_at_none_of_its_addresses_is_the_systems_error(
    tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    addresses = [socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0] for host in ("::1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    channel = HardenedChannel("localhost", port, ssl=tls.client())
    with pytest.raises(ConnectionRefusedError):
        await channel.__connect__()
    channel.close()


async def test_h18_a_server_that_falls_silent_is_noticed(tls: Any, codec: Any) -> None:
    async def say_settings_and_no_more(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\4\0\0\0\0\0")
        await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    server = await asyncio.start_server(say_settings_and_no_more, "127.0.0.1", 0, ssl=tls.server)
    limits = replace(CLIENT_LIMITS, keepalive_time=0.1, keepalive_timeout=0.1)
    channel = HardenedChannel(
        "127.0.0.1", server.sockets[0].getsockname()[1], ssl=tls.client(), codec=codec, limits=limits
    )
    with pytest.raises(ConnectionLost):
        async with asyncio.timeout(5):
            await grpclib.client.UnaryUnaryMethod(channel, "/x/y", bytes, bytes)(b"")
    channel.close()
    await channel.wait_closed()
    gone.set()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def foreign_server(tls: Any, serve: Any) -> AsyncIterator[tuple[grpclib.server.Server, Any]]:
    serving = await serve()
    server = grpclib.server.Server([serving.service], codec=serving.server._codec)
    await server.start("127.0.0.1", 0, ssl=tls.server)
    yield server, serving
    server.close()
    await server.wait_closed()


async def test_a_plain_grpclib_server_is_read_as_well(foreign_server: Any, tls: Any, output: bytes) -> None:
    server, serving = foreign_server

    async def get(stream: Any) -> None:
        await stream.recv_message()
        for at in range(0, len(output), 50_000):
            data = output[at : at + 50_000]
            await stream.send_message(encode_output_head(stream=2, offset=at, time_ns=None, data_len=len(data)) + data)

    path = "/test.Service/Get"
    server._mapping[path] = server._mapping[path]._replace(func=get)
    async with HardenedChannel(
        "127.0.0.1", server._server.sockets[0].getsockname()[1], ssl=tls.client(), codec=serving.server._codec
    ) as channel:
        method = grpclib.client.UnaryStreamMethod(channel, path, bytes, bytes)
        received = bytearray()
        async with method.open() as stream:
            await stream.send_message(b"0", end=True)
            while (message := await recv_output(stream)) is not None:
                received += decode_output(message).data
    assert received == output


async def test_a_plain_grpclib_client_reads_output(serve: Any, tls: Any, output: bytes) -> None:
    serving = await serve()
    serving.service.output = output
    codec = serving.server._codec
    async with grpclib.client.Channel("localhost", serving.server.port, ssl=tls.client(), codec=codec) as channel:
        method = grpclib.client.UnaryStreamMethod(channel, "/test.Service/Get", bytes, bytes)
        received = b"".join([bytes(decode_output(message).data) for message in await method(b"0")])
    assert received == output


async def test_a_grpcio_client_reads_output_and_is_not_taken_for_an_attacker(
    serve: Any, tls: Any, output: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    serving = await serve()
    serving.service.output = output * 20
    certificate = tls.authority.issue_cert("grpcio", common_name="grpcio")
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.authority.cert_pem.bytes(),
        private_key=certificate.private_key_pem.bytes(),
        certificate_chain=certificate.cert_chain_pems[0].bytes(),
    )
    async with grpc.aio.secure_channel(f"localhost:{serving.server.port}", credentials) as channel:
        echo: Any = channel.unary_unary("/test.Service/Echo")
        assert await echo(b"hello", timeout=10) == b"hello"
        received = 0
        get: Any = channel.unary_stream("/test.Service/Get")
        async for message in get(b"0", timeout=30):
            fields = decode_output(message)
            assert fields.offset == received
            received += len(fields.data)
    assert received == len(output) * 20
    assert caplog.messages == []


async def test_a_stream_of_somebody_else_is_refused(foreign_server: Any, tls: Any) -> None:
    server, serving = foreign_server
    port = server._server.sockets[0].getsockname()[1]
    async with grpclib.client.Channel("127.0.0.1", port, ssl=tls.client(), codec=serving.server._codec) as channel:
        method = grpclib.client.UnaryStreamMethod(channel, "/test.Service/Get", bytes, bytes)
        with suppress(GRPCError):
            async with method.open() as stream:
                await stream.send_message(b"0", end=True)
                with pytest.raises(TypeError, match="neither"):
                    await recv_output(stream)


def test_losing_a_connection_is_a_stream_that_was_terminated() -> None:
    cause = OSError("cut")
    error = ConnectionLost("connection lost", cause)
    assert isinstance(error, StreamTerminatedError)
    assert error.cause is cause
