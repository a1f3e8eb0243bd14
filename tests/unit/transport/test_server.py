"""How connections begin, who may have one, and how a server ends."""

import asyncio
import gc
import logging
import resource
import socket
import ssl
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

import pytest
from cryptography.x509 import NameOID, load_der_x509_certificate
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import Deadline

from gproc.transport import (
    ConnectionLost,
    HardenedChannel,
    HardenedServer,
    Refusal,
    ServerConnection,
    TransportLimits,
    connection_of,
)
from gproc.transport.acceptor import listen
from gproc.transport.secure import SecureTransport

Until = Callable[[Callable[[], bool]], Awaitable[None]]


def _name_owner(connection: ServerConnection) -> None:
    assert connection.certificate is not None
    (name,) = load_der_x509_certificate(connection.certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    connection.owner = str(name.value)


async def test_the_hook_reads_the_certificate_once_and_handlers_know_the_owner(serve: Any) -> None:
    seen: list[ServerConnection] = []

    def hook(connection: ServerConnection) -> None:
        seen.append(connection)
        _name_owner(connection)

    serving = await serve(on_connection=hook)
    owners: list[str] = []

    async def echo(stream: Any) -> None:
        owners.append(connection_of(stream).owner)
        await stream.send_message(await stream.recv_message())

    serving.server._mapping["/test.Service/Echo"] = serving.server._mapping["/test.Service/Echo"]._replace(func=echo)
    async with serving.stub("alice") as alice, serving.stub("bob") as bob:
        await alice.echo(b"x")
        await bob.echo(b"x")
        await alice.echo(b"x")
        assert {connection.owner for connection in serving.server.connections} == {"alice", "bob"}
    assert owners == ["alice", "bob", "alice"]
    assert len(seen) == 2
    assert all(connection.certificate and connection.alpn == "h2" for connection in seen)


async def test_a_refusal_answers_every_request_on_the_connection(serve: Any) -> None:
    serving = await serve(on_connection=lambda _: Refusal(Status.UNAUTHENTICATED, "one common name, please"))
    async with serving.stub() as stub:
        for _ in range(2):
            with pytest.raises(GRPCError, match="one common name, please") as caught:
                await stub.echo(b"x")
            assert caught.value.status is Status.UNAUTHENTICATED
    assert serving.service.started == 0


async def test_a_hook_that_fails_lets_nobody_in(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    def hook(connection: ServerConnection) -> None:
        raise ValueError("what is this?")

    serving = await serve(on_connection=hook)
    async with serving.stub() as stub:
        with pytest.raises((StreamTerminatedError, OSError)):
            await stub.echo(b"x")
    assert caplog.messages == ["connection aborted: ValueError: what is this?"]


async def test_an_owner_at_his_cap_does_not_touch_others(serve: Any) -> None:
    serving = await serve(limits=TransportLimits(connections_per_owner=1), on_connection=_name_owner)
    async with serving.stub("alice") as one, serving.stub("alice") as two, serving.stub("bob") as bob:
        assert await one.echo(b"1") == b"1"
        with pytest.raises(GRPCError) as caught:
            await two.echo(b"2")
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert await bob.echo(b"3") == b"3"
        assert await one.echo(b"4") == b"4"


async def test_an_owner_far_beyond_his_cap_does_not_take_the_places_of_others(serve: Any) -> None:
    serving = await serve(limits=TransportLimits(connections=40, connections_per_owner=1), on_connection=_name_owner)
    async with AsyncExitStack() as crowd:
        for _ in range(45):
            alice = await crowd.enter_async_context(serving.stub("alice"))
            with suppress(GRPCError, StreamTerminatedError, OSError):
                await alice.echo(b"1")
        assert 1 < len(serving.server.connections) < 20
        async with serving.stub("bob") as bob:
            assert await bob.echo(b"2") == b"2"


async def test_one_connection_too_many_is_closed_and_there_is_room_again(
    serve: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    serving = await serve(limits=TransportLimits(connections=1))
    async with serving.stub() as one:
        assert await one.echo(b"1") == b"1"
        async with serving.stub() as two:
            with pytest.raises((StreamTerminatedError, OSError)):
                await two.echo(b"2")
    assert "connection refused: 1 connections are open" in caplog.messages  # before any handshake
    await until(lambda: not serving.server.connections)
    async with serving.stub() as three:
        assert await three.echo(b"3") == b"3"


async def test_a_client_that_does_not_offer_h2_is_dropped(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    serving = await serve()
    async with serving.peer(alpn="http/1.1") as peer:
        await peer.read_to_end()
    assert caplog.messages == [
        "connection aborted: the client does not offer h2 in its TLS handshake (ALPN)",
    ]


async def test_f2_peers_that_say_nothing_do_not_keep_out_one_who_speaks(serve: Any) -> None:
    serving = await serve(limits=TransportLimits(pending_handshakes=8))
    silent = []
    try:
        for _ in range(40):
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", serving.server.port))
            silent.append(sock)
        async with serving.stub() as stub, asyncio.timeout(4):
            assert await stub.echo(b"x") == b"x"
    finally:
        for sock in silent:
            sock.close()


async def test_f2_a_handshake_has_a_time_limit(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(handshake_timeout=0.1))
    reader, writer = await asyncio.open_connection("localhost", serving.server.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await until(lambda: not serving.server._acceptor._pending)


async def test_f1_a_server_out_of_descriptors_says_so_seldom_and_recovers(
    serve: Any, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    serving = await serve()
    loop = asyncio.get_running_loop()
    waiting = [socket.socket() for _ in range(20)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for sock in waiting:
            sock.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(sock.fileno() for sock in waiting) + 1, hard))
        for sock in waiting:
            await loop.sock_connect(sock, ("127.0.0.1", serving.server.port))
        await until(lambda: any("accept paused" in message for message in caplog.messages))
        await asyncio.sleep(0.6)  # three more attempts
        assert len([message for message in caplog.messages if "accept paused" in message]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in waiting:
            sock.close()
    async with serving.stub() as stub, asyncio.timeout(5):
        assert await stub.echo(b"x") == b"x"


async def test_certificates_can_be_replaced_while_it_runs(serve: Any, tls: Any) -> None:
    serving = await serve()
    other = type(tls)()
    async with serving.stub() as old:
        assert await old.echo(b"1") == b"1"
        serving.server.replace_ssl(other.server)
        assert await old.echo(b"2") == b"2"
        async with serving.stub(ssl=other.client()) as new:
            assert await new.echo(b"3") == b"3"
        async with serving.stub() as stranger:
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.echo(b"4")


async def test_a_client_without_certificate_learns_it_from_the_cause(serve: Any, tls: Any, until: Until) -> None:
    serving = await serve()
    async with serving.stub(ssl=tls.client(with_certificate=False)) as stub:
        with pytest.raises((ConnectionLost, OSError)):
            await stub.echo(b"x")
    assert serving.service.started == 0
    await until(lambda: not serving.server.connections)


async def test_a_connection_can_be_cut_from_outside(serve: Any) -> None:
    serving = await serve(on_connection=_name_owner)
    async with serving.stub() as stub:
        call = asyncio.create_task(stub.hang(b"x"))
        await serving.service.running.wait()
        (connection,) = serving.server.connections
        connection.abort("the certificate was revoked")
        with pytest.raises(ConnectionLost):
            await call
    assert serving.service.cancelled == 1


async def test_h17_a_draining_server_lets_requests_finish_and_takes_no_new_ones(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await serving.service.running.wait()
        drain = asyncio.create_task(serving.server.drain(10))
        await asyncio.sleep(0)
        await peer.send(peer.headers(3), peer.message(3, b"x"))
        refused = await peer.read_status(3)
        assert (refused["grpc-status"], drain.done()) == ("14", False)
        serving.service.go_on.set()
        assert (await peer.read_status(1))["grpc-status"] == "0"
        await peer.read_to_end()
        async with asyncio.timeout(5):
            await drain
    assert not serving.server.connections


async def test_h17_when_the_grace_is_over_clients_are_told_and_the_server_ends(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as idle, serving.peer() as peer:
        await idle.send(idle.headers(1), idle.message(1, b"x"))
        await idle.read_status(1)
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await serving.service.running.wait()
        began = time.monotonic()
        drain = asyncio.create_task(serving.server.drain(0.2))
        status = await peer.read_status(1)
        assert (status["grpc-status"], "shutting down" in status["grpc-message"]) == ("14", True)
        await peer.read_to_end()
        await idle.read_to_end()
        await drain
        assert time.monotonic() - began < 5
    assert serving.service.cancelled == 1


async def test_h13_a_server_ends_although_a_client_does_not_read(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(close_timeout=0.2))
    serving.service.output = bytes(64 * 2**20)
    async with serving.peer() as peer:
        peer.writer.transport.pause_reading()
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        await until(lambda: serving.service.started == 1)
        serving.server.close()
        async with asyncio.timeout(5):
            await serving.server.wait_closed()
    assert not serving.server.connections


async def test_requests_that_were_read_and_wait_for_their_answer_take_no_room_from_others(
    serve: Any, until: Until
) -> None:
    serving = await serve()
    async with serving.stub() as stub, asyncio.timeout(10):
        waiting = [asyncio.create_task(stub.hang(bytes(8000))) for _ in range(200)]
        await until(lambda: serving.service.heard == 200)
        serving.service.go_on.set()
        assert set(await asyncio.gather(*waiting)) == {b"done"}


async def test_a_deadline_ends_the_request(serve: Any, until: Until) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang", grpc_timeout="100m"), peer.message(1, b"x"))
        assert (await peer.read_status(1))["grpc-status"] == "4"
    assert serving.service.cancelled == 1


class OnlyTold(Deadline):
    """A deadline of which the server is told, and which the client itself does not keep."""

    def __init__(self, seconds: float) -> None:
        self._answers = iter((60.0, seconds))  # the first is for the client's timer

    def time_remaining(self) -> float:
        return next(self._answers)


def test_a_deadline_is_kept_although_the_timers_of_uvloop_go_off_early(uvloop: Any, tls: Any, codec: Any) -> None:
    async def hang(stream: Any) -> None:
        await asyncio.sleep(60)

    class Service:
        def __mapping__(self) -> dict[str, Handler]:
            return {"/test.Service/Hang": Handler(hang, Cardinality.UNARY_UNARY, bytes, bytes)}

    async def call(channel: Any, seconds: float) -> Status:
        deadline = OnlyTold(seconds)
        async with channel.request(
            "/test.Service/Hang", Cardinality.UNARY_UNARY, bytes, bytes, deadline=deadline
        ) as stream:
            await stream.send_message(b"x", end=True)
            with pytest.raises(GRPCError) as caught:
                await stream.recv_message()
        return caught.value.status

    async def statuses() -> set[Status]:
        server = HardenedServer([Service()], codec=codec)
        await server.start("localhost", 0, ssl=tls.server)
        async with HardenedChannel("localhost", server.port, ssl=tls.client(), codec=codec) as channel:
            found = await asyncio.gather(*(call(channel, 0.01 + 0.000_07 * number) for number in range(100)))
        server.close()
        await server.wait_closed()
        return set(found)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(statuses()) == {Status.DEADLINE_EXCEEDED}


async def test_a_handler_whose_wait_was_cancelled_is_a_fault_of_the_server(serve: Any) -> None:
    serving = await serve()

    async def forsaken(stream: Any) -> None:
        nobody: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nobody.cancel()
        await nobody

    path = "/test.Service/Echo"
    serving.server._mapping[path] = serving.server._mapping[path]._replace(func=forsaken)
    async with serving.stub() as stub, asyncio.timeout(5):
        with pytest.raises(GRPCError, match="internal error") as caught:
            await stub.echo(b"x")
        assert caught.value.status is Status.INTERNAL


async def test_a_server_starts_once_and_is_closed_before_it_is_waited_for(tls: Any, serve: Any) -> None:
    serving = await serve()
    with pytest.raises(RuntimeError, match="once"):
        await serving.server.start("localhost", 0, ssl=tls.server)
    with pytest.raises(RuntimeError, match="not closed"):
        await serving.server.wait_closed()


async def test_a_port_that_is_taken_is_the_systems_error(serve: Any) -> None:
    serving = await serve()
    with pytest.raises(OSError, match="in use"):
        await listen("localhost", serving.server.port)


async def test_the_log_stays_quiet_about_honest_clients(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    serving = await serve()
    async with serving.stub() as stub:
        for number in range(300):
            assert await stub.echo(str(number).encode()) == str(number).encode()
    assert caplog.messages == []


async def test_a_timeout_of_the_handlers_own_is_a_fault_of_the_server(serve: Any) -> None:
    serving = await serve()

    async def late(stream: Any) -> None:
        raise TimeoutError("the disk is slow")

    path = "/test.Service/Echo"
    serving.server._mapping[path] = serving.server._mapping[path]._replace(func=late)
    async with serving.stub() as stub:
        with pytest.raises(GRPCError, match="internal error") as caught:
            await stub.echo(b"x", timeout=30)
        assert caught.value.status is Status.INTERNAL


async def test_a_server_that_was_never_started_can_be_closed() -> None:
    server = HardenedServer([])
    with pytest.raises(RuntimeError, match="not started"):
        server.replace_ssl(ssl.create_default_context())
    assert server.addresses == []
    server.close()
    await server.wait_closed()


async def test_closing_drops_handshakes_in_progress(serve: Any, until: Until) -> None:
    serving = await serve()
    reader, writer = await asyncio.open_connection("localhost", serving.server.port)
    await until(lambda: bool(serving.server._acceptor._pending))
    serving.server.close()
    await serving.server.wait_closed()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("limit", [None, 60.0])
async def test_a_request_whose_client_left_leaves_nothing_for_the_collector(
    serve: Any, until: Until, limit: float | None
) -> None:
    serving = await serve()
    gc.disable()
    try:
        async with serving.stub() as stub:
            asking = asyncio.create_task(stub.hang(b"x", timeout=limit))
            await serving.service.running.wait()
            streams = [
                weakref.ref(stream) for one in serving.server._protocols for stream in one.processor.streams.values()
            ]
            asking.cancel()
            await until(lambda: serving.service.cancelled == 1)
            assert len(streams) == 1
            await until(lambda: streams[0]() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b""])
async def test_a_handshake_that_fails_leaves_nothing_for_the_collector(serve: Any, until: Until, said: bytes) -> None:
    serving = await serve()
    gc.collect()
    gc.disable()
    try:
        _, writer = await asyncio.open_connection("localhost", serving.server.port)
        await until(lambda: bool(_transports()))
        writer.write(said)
        writer.write_eof()
        await until(lambda: not _transports())
        writer.close()
    finally:
        gc.enable()


async def test_a_handshake_that_is_dropped_leaves_nothing_for_the_collector(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(pending_handshakes=1))
    gc.collect()
    gc.disable()
    try:
        _, oldest = await asyncio.open_connection("localhost", serving.server.port)
        await until(lambda: len(_transports()) == 1)
        first = weakref.ref(_transports()[0])
        _, newest = await asyncio.open_connection("localhost", serving.server.port)
        await until(lambda: first() is None)
        oldest.close()
        newest.close()
    finally:
        gc.enable()


def test_those_that_are_dropped_by_the_dozen_leave_nothing_for_the_collector_on_uvloop_either(
    uvloop: Any, tls: Any, until: Until
) -> None:
    def come(crowd: ExitStack, port: int) -> None:
        for _ in range(300):
            crowd.enter_context(socket.create_connection(("localhost", port)))

    async def serve() -> None:
        server = HardenedServer([], limits=TransportLimits(pending_handshakes=16))
        await server.start("localhost", 0, ssl=tls.server)
        with ExitStack() as crowd:
            await asyncio.to_thread(come, crowd, server.port)
            await until(lambda: len(_transports()) <= 16)
        server.close()
        await server.wait_closed()

    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    finally:
        gc.enable()


def _transports() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, SecureTransport)]
