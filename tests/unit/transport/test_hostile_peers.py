"""H1 to H18: what a hostile but authenticated peer can do over HTTP/2, row by row, and what it gets."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gproc.transport import TransportLimits
from gproc.transport.limits import BURST

Until = Callable[[Callable[[], bool]], Awaitable[None]]
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = "0", "3", "8", "12", "13", "14"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, logger="gproc.transport")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


async def _still_serves(serving: Any) -> None:
    async with serving.stub("bob") as stub, asyncio.timeout(5):
        assert await stub.echo(b"hello") == b"hello"


async def test_h1_streams_reset_before_their_handler_begins_are_released(serve: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(resets=10_000))
    async with serving.peer() as peer:
        for number in range(1, 2001, 2):
            await peer.send(peer.headers(number), peer.data(number, b"x" * 100), peer.reset(number))
        await peer.send(peer.headers(2001), peer.message(2001, b"still here"))
        assert (await peer.read_status(2001))["grpc-status"] == OK

        (protocol,) = serving.server._protocols
        await until(lambda: not protocol.processor.streams and not protocol.handler.tasks)
        window = protocol.h2._inbound_flow_control_window_manager
        assert window.current_window_size + window._bytes_processed == window.max_window_size


async def test_h1_too_many_resets_end_the_connection_with_one_line(serve: Any, lines: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        for number in range(1, 601, 2):
            peer.writer.write(peer.headers(number).serialize() + peer.reset(number).serialize())
        await peer.read_to_end()
    assert lines() == ["connection aborted: too many streams were reset"]
    await _still_serves(serving)


@pytest.mark.parametrize(
    "frame", [PingFrame(0, opaque_data=b"12345678"), SettingsFrame(0), DataFrame(1), WindowUpdateFrame(0, 1)]
)
async def test_h2_h3_h6_a_flood_of_frames_that_carry_nothing_ends_the_connection(
    serve: Any, lines: Any, frame: Any
) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"))
        peer.writer.write(frame.serialize() * 5000)
        await peer.read_to_end()
    assert lines() == ["connection aborted: too many frames that carry nothing"]
    await _still_serves(serving)


async def test_h2_answers_to_a_peer_that_does_not_read_are_bounded(serve: Any, lines: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(control_frames=10_000_000, first_request_timeout=60))
    async with serving.peer() as peer:
        peer.writer.transport.pause_reading()
        peer.shrink_buffers()
        pings = PingFrame(0, opaque_data=b"12345678").serialize() * 1000
        await until(lambda: bool(serving.server.connections))
        (connection,) = serving.server.connections
        connection._pipe.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        while serving.server.connections:
            peer.writer.write(pings)
            try:
                async with asyncio.timeout(1):
                    await peer.writer.drain()
            except (ConnectionError, TimeoutError):
                break
        await until(lambda: not serving.server.connections)
    (line,) = lines()
    assert line.endswith("bytes of answers are waiting, and the peer does not read")


async def test_h3_h10_empty_frames_inside_a_message_are_no_end(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(
            peer.headers(1),
            peer.data(1, b"\0\0\0"),
            peer.data(1, b""),
            peer.data(1, b"\0\x05he"),
            peer.data(1, b""),
            peer.data(1, b"llo", end=True),
        )
        answer = await peer.read_until(DataFrame, 1)
        assert answer.data == b"\0\0\0\0\x05hello"


async def test_h4_a_message_that_announces_too_much_is_refused_before_it_comes(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1), peer.data(1, b"\0\xff\xff\xff\xff" + b"x" * 1000))
        status = await peer.read_status(1)
        assert status["grpc-status"] == RESOURCE_EXHAUSTED
        assert "limit" in status["grpc-message"]
        await peer.read_until(RstStreamFrame, 1)


async def test_h4_the_largest_message_is_taken_although_it_is_larger_than_the_window(serve: Any) -> None:
    serving = await serve()
    message = b"m" * TransportLimits().message_size
    async with serving.stub() as stub:
        assert await stub.echo(message) == message


async def test_h5_a_reader_that_opens_no_window_is_cut_with_a_reason(serve: Any, lines: Any) -> None:
    serving = await serve(limits=TransportLimits(stall_timeout=0.2))
    serving.service.output = bytes(1_000_000)
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        status = await peer.read_status(1)
        assert status["grpc-status"] == UNAVAILABLE
        assert "nothing was read for 0.2 s" in status["grpc-message"]
        await peer.send(WindowUpdateFrame(0, 1000), peer.headers(3), peer.message(3, b"next"))
        assert (await peer.read_status(3))["grpc-status"] == OK
    assert serving.service.cancelled == 1
    assert lines() == ["stream cut: nothing was read for 0.2 s"]


async def test_h5_a_peer_that_does_not_read_its_socket_is_dropped(serve: Any, lines: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(stall_timeout=0.2))
    serving.service.output = bytes(64 * 2**20)
    async with serving.peer() as peer:
        much = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        await peer.send(much, WindowUpdateFrame(0, 2**30))
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        peer.writer.transport.pause_reading()
        await until(lambda: serving.service.started == 1)
        await until(lambda: serving.service.cancelled == 1 and not serving.server.connections)
    assert lines() == ["connection aborted: nothing was read for 0.2 s"]


async def test_readers_of_a_slow_line_who_wait_for_their_turn_are_not_taken_for_stalled(
    serve: Any, lines: Any, until: Until
) -> None:
    limits = TransportLimits(stall_timeout=1.0)
    serving = await serve(limits=limits)
    serving.service.output = bytes(64 * 2**20)
    serving.service.piece = BURST
    readers = 32
    async with serving.peer() as peer:
        much = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        await peer.send(much, WindowUpdateFrame(0, 2**30))
        for number in range(1, 2 * readers, 2):
            await peer.send(peer.headers(number, "/test.Service/Get"), peer.message(number, b"0"))
        await until(lambda: serving.service.started == readers)
        (protocol,) = serving.server._protocols
        sock = protocol.connection._pipe.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        read, began = 0, time.monotonic()
        while (took := time.monotonic() - began) < 3 * limits.stall_timeout:
            frame = await peer.read()
            assert frame is not None
            read += len(frame.data) if isinstance(frame, DataFrame) else 0
            # A turn of all takes twice as long as a stream may stall.
            await asyncio.sleep(max(0.0, read / (readers * BURST) * 2 * limits.stall_timeout - took))
    assert lines() == []


async def test_a_reader_of_a_line_on_which_a_burst_takes_longer_than_a_stall_is_not_cut(
    serve: Any, lines: Any, until: Until
) -> None:
    limits = TransportLimits(stall_timeout=0.4, keepalive_time=0.4, keepalive_timeout=0.4)
    serving = await serve(limits=limits)
    serving.service.output = bytes(64 * 2**20)
    serving.service.piece = BURST
    async with serving.peer() as peer:
        peer.shrink_buffers()
        much = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        await peer.send(much, WindowUpdateFrame(0, 2**30))
        await until(lambda: bool(serving.server.connections))
        (connection,) = serving.server.connections
        connection._pipe.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        read, began = 0, time.monotonic()
        while (took := time.monotonic() - began) < 8 * limits.stall_timeout:
            frame = await peer.read()
            assert frame is not None
            read += len(frame.data) if isinstance(frame, DataFrame) else 0
            await asyncio.sleep(max(0.0, read / BURST * 3 * limits.stall_timeout - took))
    assert lines() == []


async def test_h6_a_window_opened_byte_by_byte_is_not_answered_with_tiny_frames(serve: Any) -> None:
    serving = await serve()
    serving.service.output = bytes(200_000)
    serving.service.piece = 200_000
    async with serving.peer() as peer:
        await peer.send(WindowUpdateFrame(0, 2**20))
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        received = 0
        while received < 65_535:
            received += len((await peer.read_until(DataFrame, 1)).data)
        for _ in range(1024):
            await peer.send(WindowUpdateFrame(1, 1))
        frame = await peer.read_until(DataFrame, 1)
        assert len(frame.data) == 1024


async def test_h7_frames_of_unknown_kinds_are_ignored(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        unknown = ExtensionFrame(0xBE, 0, body=b"hello")
        unknown.body_len = 5
        await peer.send(unknown, peer.headers(1), ExtensionFrame(0xBF, 1))
        await peer.send(peer.message(1, b"x"))
        assert (await peer.read_status(1))["grpc-status"] == OK


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"user_agent": b"caf\xe9"}, INVALID_ARGUMENT),
        ({"COLONpath": "/no/such"}, UNIMPLEMENTED),
        ({"data_bin": "A"}, INVALID_ARGUMENT),
        ({"grpc_timeout": "1" + "0" * 400 + "S"}, INVALID_ARGUMENT),
        ({"grpc_timeout": "-1S"}, INVALID_ARGUMENT),
        ({"content_type": "text/html"}, INTERNAL),
        ({"te": "(left out)"}, INTERNAL),
        ({"COLONmethod": "GET"}, INTERNAL),
    ],
)
async def test_h8_h9_every_malformed_request_is_answered(serve: Any, fields: dict[str, Any], status: str) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, **fields))
        assert (await peer.read_status(1))["grpc-status"] == status
        await peer.read_until(RstStreamFrame, 1)
        (connection,) = serving.server.connections
        assert connection.idle_since is not None  # nothing is kept of a request that was refused
        await peer.send(peer.headers(3), peer.message(3, b"x"))
        assert (await peer.read_status(3))["grpc-status"] == OK


@pytest.mark.parametrize(
    "fields", [{"COLONpath": "(left out)"}, {"COLONmethod": "(left out)"}, {"x": "a\nb"}, {"Upper": "x"}]
)
async def test_h9_h12_h14_headers_against_the_rules_end_the_connection(
    serve: Any, lines: Any, fields: dict[str, Any]
) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, **fields))
        await peer.read_until(GoAwayFrame)
        await peer.read_to_end()
    (line,) = lines()
    assert line.startswith("connection failed: protocol error: ")
    assert line.isprintable()
    await _still_serves(serving)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", INVALID_ARGUMENT),
        (b"\0\0", INVALID_ARGUMENT),
        (b"\0\0\0\0\x05hel", INVALID_ARGUMENT),
        (b"\0\0\0\0\x05", INVALID_ARGUMENT),
        (b"\x01\0\0\0\x01x", UNIMPLEMENTED),
        (b"\0\0\0\0\x03bad", INVALID_ARGUMENT),
    ],
)
async def test_h11_malformed_messages_are_the_clients_fault(serve: Any, lines: Any, body: bytes, status: str) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1), peer.data(1, body, end=True))
        assert (await peer.read_status(1))["grpc-status"] == status
    assert lines() == []


async def test_a_fault_of_the_server_is_told_without_its_secrets(serve: Any, caplog: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Fail"), peer.message(1, b"x"))
        status = await peer.read_status(1)
        assert status["grpc-status"] == INTERNAL
        assert "secret" not in status["grpc-message"]
    assert "a secret of the server" in caplog.text


async def test_h12_a_frame_that_is_too_large_is_refused_from_its_header(serve: Any, lines: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1))
        await peer.send_bytes(b"\xff\xff\xff\0\0\0\0\0\x01")
        goaway = await peer.read_until(GoAwayFrame)
        assert goaway.error_code == 6
        await peer.read_to_end()
    assert lines() == ["connection failed: protocol error: a frame of 16777215 bytes is larger than 16384"]


async def test_h15_a_connection_that_asks_for_nothing_is_closed(serve: Any, lines: Any) -> None:
    serving = await serve(limits=TransportLimits(first_request_timeout=0.1))
    async with serving.peer() as peer:
        await peer.read_to_end()
    assert lines() == ["connection aborted: no request came after the handshake"]


async def test_h15_a_connection_that_was_used_or_is_in_use_is_not_taken_for_one_that_is_not(serve: Any) -> None:
    limits = TransportLimits(first_request_timeout=0.2, idle_timeout=0.2, keepalive_time=0.3)
    serving = await serve(limits=limits)
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await peer.read_until(PingFrame)  # by now the times for a first request, and for none, are long over
        serving.service.go_on.set()
        assert (await peer.read_status(1))["grpc-status"] == OK
        assert not [frame for frame in peer.received if isinstance(frame, GoAwayFrame)]


async def test_h15_an_idle_connection_is_told_to_go(serve: Any) -> None:
    serving = await serve(limits=TransportLimits(idle_timeout=0.1))
    async with serving.peer() as peer:
        await peer.send(peer.headers(1), peer.message(1, b"x"))
        assert (await peer.read_until(GoAwayFrame)).error_code == 0
        await peer.read_to_end()


async def test_h15_an_old_connection_lets_its_last_request_finish(serve: Any) -> None:
    serving = await serve(limits=TransportLimits(max_age=0.1))
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await peer.read_until(GoAwayFrame)
        serving.service.go_on.set()
        assert (await peer.read_status(1))["grpc-status"] == OK
        await peer.read_to_end()


async def test_h16_a_client_that_goes_away_still_gets_its_answers(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"), GoAwayFrame(0))
        await serving.service.running.wait()
        serving.service.go_on.set()
        assert (await peer.read_status(1))["grpc-status"] == OK
        await peer.read_to_end()


async def test_h18_a_peer_that_answers_nothing_is_asked_and_dropped(serve: Any, lines: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(keepalive_time=0.2, keepalive_timeout=0.2))
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        ping = await peer.read_until(PingFrame)
        ping.flags.add("ACK")
        await peer.send(ping)
        await peer.read_until(PingFrame)
        await until(lambda: serving.service.cancelled == 1)
        await peer.read_to_end()
    assert lines() == ["connection aborted: the peer answers nothing any more"]


async def test_h18_a_peer_that_reads_slowly_is_not_taken_for_dead(serve: Any, lines: Any, until: Until) -> None:
    limits = TransportLimits(keepalive_time=0.2, keepalive_timeout=1.0)
    serving = await serve(limits=limits)
    serving.service.output = bytes(64 * 2**20)
    async with serving.peer() as peer:
        much = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        await peer.send(much, WindowUpdateFrame(0, 2**30))
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        await until(lambda: serving.service.started == 1)
        read, began = 0, time.monotonic()
        while (took := time.monotonic() - began) < 3.0:
            frame = await peer.read()
            assert frame is not None
            read += len(frame.data) if isinstance(frame, DataFrame) else 0
            await asyncio.sleep(max(0.0, read / (8 * 2**20) - took))
    assert lines() == []


async def test_bytes_that_are_not_http2_end_the_connection(serve: Any, lines: Any) -> None:
    serving = await serve()
    async with serving.peer(begin=False) as peer:
        await peer.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await peer.read_until(GoAwayFrame)
        await peer.read_to_end()
    assert lines() == ["connection failed: protocol error: Invalid HTTP/2 preamble."]


async def test_a_frame_inside_a_block_of_headers_is_an_error(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        headers = peer.headers(1)
        headers.flags.discard("END_HEADERS")
        await peer.send(headers, DataFrame(1))
        assert (await peer.read_until(GoAwayFrame)).error_code == 1
        await peer.read_to_end()


async def test_a_client_that_resets_ends_its_handler(serve: Any, until: Until) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await serving.service.running.wait()
        await peer.send(peer.reset(1))
        await until(lambda: serving.service.cancelled == 1)
        await peer.send(peer.headers(3), peer.message(3, b"x"))
        assert (await peer.read_status(3))["grpc-status"] == OK


async def test_a_client_that_vanishes_ends_its_handler(serve: Any, until: Until) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await serving.service.running.wait()
    await until(lambda: serving.service.cancelled == 1 and not serving.server.connections)


async def test_headers_of_a_refused_request_are_the_only_answer(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/no/such", end=True))
        await peer.read_status(1)
        await peer.send(PingFrame(0, opaque_data=b"12345678"))
        await peer.read_until(PingFrame)
        frames = [frame for frame in peer.received if frame.stream_id == 1]
        assert [type(frame) for frame in frames] == [HeadersFrame]


async def test_h9_too_many_malformed_requests_end_the_connection(serve: Any, lines: Any) -> None:
    serving = await serve(limits=TransportLimits(resets=50))
    async with serving.peer() as peer:
        for number in range(1, 121, 2):
            peer.writer.write(peer.headers(number, "/no/such", end=True).serialize())
        await peer.read_to_end()
    assert lines() == ["connection aborted: too many requests had to be refused"]


async def test_h1_streams_that_we_must_reset_count_as_resets(serve: Any, lines: Any, until: Until) -> None:
    serving = await serve(limits=TransportLimits(resets=2))
    async with serving.peer() as peer:
        for number in (1, 3):
            await peer.send(peer.headers(number, "/test.Service/Hang"), peer.message(number, b"x"))
            await peer.send(WindowUpdateFrame(number, 2**31 - 1))
            assert (await peer.read_until(RstStreamFrame, number)).error_code == 3
        await until(lambda: serving.service.cancelled == serving.service.started)
        await peer.send(peer.headers(5, "/test.Service/Hang"), WindowUpdateFrame(5, 2**31 - 1))
        await peer.read_to_end()
    assert lines() == ["connection aborted: too many streams had to be reset"]


async def test_h16_a_client_that_goes_away_with_an_error_is_let_go(serve: Any, until: Until) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(peer.headers(1, "/test.Service/Hang"), peer.message(1, b"x"))
        await serving.service.running.wait()
        await peer.send(GoAwayFrame(0, error_code=1))
        await peer.read_to_end()
    await until(lambda: serving.service.cancelled == 1)


async def test_padding_is_no_data_and_is_given_back(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        padded = DataFrame(1, data=b"", pad_length=200, flags=["PADDED"])
        await peer.send(peer.headers(1), *[padded] * 1000, peer.message(1, b"x"))
        assert (await peer.read_until(DataFrame, 1)).data == b"\0\0\0\0\x01x"


async def test_a_reader_that_rests_and_goes_on_gets_everything(serve: Any, until: Until) -> None:
    serving = await serve()
    serving.service.output = bytes(24_000_000)
    async with serving.peer() as peer:
        much = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1})
        await peer.send(much, WindowUpdateFrame(0, 2**30))
        await peer.send(peer.headers(1, "/test.Service/Get"), peer.message(1, b"0"))
        await until(lambda: any(not connection.write_ready.is_set() for connection in serving.server.connections))
        received = 0
        while received < 24_000_000:
            received += len((await peer.read_until(DataFrame, 1)).data)
        assert (await peer.read_status(1))["grpc-status"] == OK


async def test_a_peer_that_offers_room_for_many_headers_does_not_have_us_search_through_them(serve: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        peer.decoder.max_allowed_table_size = 2**31
        await peer.send(SettingsFrame(0, settings={SettingsFrame.HEADER_TABLE_SIZE: 2**31}))
        await peer.send(peer.headers(1), peer.message(1, b"x"))
        assert (await peer.read_status(1))["grpc-status"] == OK
        assert peer.decoder.header_table_size == 4096

        await peer.send(SettingsFrame(0, settings={SettingsFrame.HEADER_TABLE_SIZE: 100}))
        await peer.send(peer.headers(3), peer.message(3, b"x"))
        assert (await peer.read_status(3))["grpc-status"] == OK
        assert peer.decoder.header_table_size == 100


async def test_h9_a_block_of_headers_that_is_too_long_is_refused_before_it_is_read(serve: Any, lines: Any) -> None:
    serving = await serve()
    async with serving.peer() as peer:
        await peer.send(HeadersFrame(1, data=bytes(16_384)), *(ContinuationFrame(1, data=bytes(16_384)),) * 3)
        await peer.send(ContinuationFrame(1, data=b"x"))
        await peer.read_until(GoAwayFrame)
        await peer.read_to_end()
    assert lines() == ["connection failed: protocol error: a block of headers is larger than 65536 bytes"]
    await _still_serves(serving)
