"""Our ends of a connection against plain h2 at the other end: any windows, any frames, cut anywhere."""

import asyncio
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from grpclib.client import Handler as ClientHandler
from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from gproc.transport.fastpath import send_parts
from gproc.transport.inbound import ClientProtocol
from gproc.transport.limits import CLIENT_LIMITS, TransportLimits
from gproc.transport.log import EventLog
from gproc.transport.streams import ConnectionLost, GuardedStream
from gproc.transport.tollgate import TollGate

REQUEST = [(":method", "POST"), (":scheme", "https"), (":path", "/x"), (":authority", "x"), ("te", "trailers")]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]


class Wire(asyncio.Transport):
    """The transport of one end: keeps what was written until the other end takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_over = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def take(self) -> bytes:
        taken, self.written = self.written, b""
        return taken

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True

    abort = close


class Accepting(AbstractHandler):
    """Keeps the streams that the other end opens."""

    def __init__(self) -> None:
        self.streams: list[GuardedStream] = []

    def accept(self, stream: Any, headers: Any, release_stream: Callable[[], None]) -> None:
        stream.wrapper = Wrapper()
        self.streams.append(stream)

    def cancel(self, stream: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _protocol(kind: type[Any], handler: AbstractHandler, limits: TransportLimits) -> tuple[Any, Wire]:
    config = H2Configuration(client_side=kind is ClientProtocol, header_encoding="latin-1")
    protocol = kind(handler, Configuration().__for_test__(), config, limits=limits, log=EventLog())
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


def _feed(protocol: Any, data: bytes, cuts: list[float]) -> None:
    edges = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    for start, stop in pairwise(edges):
        buffer = protocol.get_buffer(-1)
        for at in range(start, stop, len(buffer)):
            piece = data[at : min(stop, at + len(buffer))]
            buffer[: len(piece)] = piece
            protocol.buffer_updated(len(piece))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.integers(0, 2), st.integers(1, 3000)),
        st.tuples(st.just("padded"), st.integers(0, 2), st.integers(0, 255)),
        st.tuples(st.just("empty"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("ping"), st.just(0), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("reset"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 2), st.just(0)),
    ),
    max_size=40,
)


class Downstream:
    """Plain h2 serves our client; the model is what h2 was told to send."""

    def __init__(self) -> None:
        self.protocol, self.wire = _protocol(ClientProtocol, ClientHandler(), CLIENT_LIMITS)
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.streams: list[GuardedStream] = []
        self.numbers: list[int] = []
        self.release: list[Callable[[], None] | None] = []
        self.sent = [b"", b"", b""]
        self.ended = [False] * 3
        self.byte = 0

    async def open(self) -> None:
        self.protocol.data_received(self.h2.data_to_send())
        for _ in range(3):
            stream = self.protocol.connection.create_stream(wrapper=Wrapper())
            self.release.append(await stream.send_request(REQUEST, _processor=self.protocol.processor))
            assert stream.id is not None
            self.streams.append(stream)
            self.numbers.append(stream.id)
        self.h2.receive_data(self.wire.take())
        for number in self.numbers:
            self.h2.send_headers(number, RESPONSE)

    def do(self, step: str, which: int, size: int) -> None:
        number = self.numbers[which]
        if step == "ping":
            self.h2.ping(b"12345678")
        elif self.ended[which]:
            return
        elif step == "cancel":
            self.streams[which].reset_nowait()
            release = self.release[which]
            assert release is not None
            release()
            self.ended[which] = True
            self.sent[which] = b""
        elif step == "reset":
            self.h2.reset_stream(number)
            self.ended[which] = True
        else:
            self._send(step, which, size)

    def _send(self, step: str, which: int, size: int) -> None:
        number = self.numbers[which]
        self.byte += 1
        data = bytes((self.byte % 256,)) * (size if step == "data" else size % 5)
        padding = size if step == "padded" else None
        if len(data) + (padding or 0) + 1 > self.h2.local_flow_control_window(number):
            return
        self.h2.send_data(number, data, end_stream=step == "end", pad_length=padding)
        self.ended[which] = step == "end"
        self.sent[which] += data


@given(steps=STEPS, cuts=st.lists(st.floats(0, 1), max_size=20), batches=st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_our_client_receives_what_a_plain_server_sends(
    steps: list[tuple[str, int, int]], cuts: list[float], batches: int
) -> None:
    async def run() -> None:
        down = Downstream()
        await down.open()
        cancelled = set()
        for at, (step, which, size) in enumerate(steps):
            if step == "cancel" and not down.ended[which]:
                cancelled.add(which)
            down.do(step, which, size)
            if at % batches == 0:
                _feed(down.protocol, down.h2.data_to_send(), cuts)
                down.h2.receive_data(down.wire.take())
        _feed(down.protocol, down.h2.data_to_send(), cuts)
        down.h2.receive_data(down.wire.take())
        assert not down.protocol.connection.is_lost
        for which in {0, 1, 2} - cancelled:
            assert bytes(down.streams[which].buffer._bytes) == down.sent[which]
        # Our books are h2's books: had each window shrunk by another amount, the two ends would not agree.
        for which in {0, 1, 2} - cancelled:
            ours = down.protocol.h2.streams[down.numbers[which]]
            if not down.ended[which]:
                its = down.h2.streams[down.numbers[which]]
                assert its.outbound_flow_control_window == ours.inbound_flow_control_window
        assert down.h2.outbound_flow_control_window == down.protocol.h2.inbound_flow_control_window
        down.protocol.connection_lost(None)

    asyncio.run(run())


def _fill(protocol: Any, data: bytes, reads: list[int]) -> None:
    """Feed *data* as TLS does: each time as much as there is, and fits where the protocol wants it."""
    at = turn = 0
    while at < len(data):
        buffer = memoryview(protocol.get_buffer(-1))
        step = min(len(buffer), len(data) - at, reads[turn % len(reads)])
        buffer[:step] = data[at : at + step]
        protocol.buffer_updated(step)
        at, turn = at + step, turn + 1


async def _collect(stream: GuardedStream, read: list[bytes]) -> None:
    assert stream.wrapper is not None
    with stream.wrapper:
        while (message := await stream.buffer.read_message()) is not None:
            read.append(bytes(message))


def _wire_form(messages: list[bytes]) -> bytes:
    return b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)


def _with(wire: bytes, message: bytes) -> bytes:
    return wire + _wire_form([message])


@given(
    sizes=st.lists(st.lists(st.integers(0, 9000), max_size=5), min_size=3, max_size=3),
    frames=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 8000), st.sampled_from([None, None, None, 0, 7, 255])), max_size=30
    ),
    reads=st.lists(st.integers(1, 9000), min_size=1, max_size=10),
    leaving=st.tuples(st.integers(0, 30), st.floats(0, 1)),
)
@settings(max_examples=150, deadline=None)
def test_messages_are_decrypted_to_where_they_stay_wherever_anything_is_cut_and_whoever_leaves(
    sizes: list[list[int]],
    frames: list[tuple[int, int, int | None]],
    reads: list[int],
    leaving: tuple[int, float],
) -> None:
    async def run() -> None:
        down = Downstream()
        await down.open()
        _fill(down.protocol, down.h2.data_to_send(), reads)
        messages = [[bytes((which + 1,)) * size for size in row] for which, row in enumerate(sizes)]
        rest = [_wire_form(row) for row in messages]
        read: list[list[bytes]] = [[], [], []]
        readers = [asyncio.create_task(_collect(*pair)) for pair in zip(down.streams, read, strict=True)]
        await asyncio.sleep(0)
        for turn, (which, size, padding) in enumerate(frames):
            piece, rest[which] = rest[which][:size], rest[which][size:]
            if not down.ended[which]:
                down.h2.send_data(down.numbers[which], piece, pad_length=padding)
            if turn % 3 and turn != leaving[0]:
                continue  # frames come together, too
            wire = down.h2.data_to_send()
            middle = int(len(wire) * leaving[1]) if turn == leaving[0] else len(wire)
            _fill(down.protocol, wire[:middle], reads)
            if turn == leaving[0]:  # the first reader, maybe in the middle of a frame
                readers[0].cancel()
                down.do("cancel", 0, 0)
            _fill(down.protocol, wire[middle:], reads)
            down.h2.receive_data(down.wire.take())
            if turn % 2:
                await asyncio.sleep(0)
        _fill(down.protocol, down.h2.data_to_send(), reads)
        for _ in range(3):
            await asyncio.sleep(0)
        down.h2.receive_data(down.wire.take())
        for which in range(3):
            sent = len(_wire_form(messages[which])) - len(rest[which])
            whole = [row for row in accumulate(messages[which], _with, initial=b"") if len(row) <= sent]
            if not down.ended[which]:
                assert _wire_form(read[which]) == whole[-1]
                ours = down.protocol.h2.streams[down.numbers[which]]
                assert down.h2.local_flow_control_window(down.numbers[which]) == min(
                    ours.inbound_flow_control_window, down.protocol.h2.inbound_flow_control_window
                )
        assert down.h2.outbound_flow_control_window == down.protocol.h2.inbound_flow_control_window
        # The rest of a message never comes: whoever waits for it is told.
        down.protocol.connection_lost(ConnectionResetError("gone"))
        ends = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(end, ConnectionLost) for which, end in enumerate(ends) if not down.ended[which])

    asyncio.run(run())


@given(
    messages=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 100_000)), min_size=1, max_size=4),
    window=st.integers(0, 100_000),
    largest=st.sampled_from([16_384, 20_000, 65_536, 524_288]),
    updates=st.lists(st.integers(700, 70_000), min_size=1, max_size=50),
)
@settings(max_examples=60, deadline=None)
def test_a_plain_client_receives_what_our_server_sends(
    messages: list[tuple[int, int]], window: int, largest: int, updates: list[int]
) -> None:
    async def run() -> None:
        handler = Accepting()
        protocol, wire = _protocol(TollGate, handler, TransportLimits())
        client = H2Connection(H2Configuration(client_side=True))
        client.initiate_connection()
        client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_FRAME_SIZE: largest})
        client.send_headers(1, REQUEST, end_stream=True)
        protocol.data_received(client.data_to_send())
        client.receive_data(wire.take())  # with the word that its settings are in force
        (stream,) = handler.streams
        await stream.send_headers(RESPONSE)

        whole = [(bytes([at]) * head, bytes([at + 100]) * size) for at, (head, size) in enumerate(messages)]

        async def send() -> None:
            for head, data in whole:
                await send_parts(stream, head, memoryview(data))
            await stream.send_headers([("grpc-status", "0")], end_stream=True)

        task = asyncio.create_task(send())
        received, turn = b"", 0
        async with asyncio.timeout(20):
            while not task.done():
                await asyncio.sleep(0)
                for event in client.receive_data(wire.take()):
                    if isinstance(event, DataReceived):
                        received += event.data
                        assert len(event.data) <= largest
                if turn % 3 == 2:
                    update = updates[turn % len(updates)]
                    client.increment_flow_control_window(update, 1)
                    client.increment_flow_control_window(update)
                    protocol.data_received(client.data_to_send())
                turn += 1
            await task
        received += b"".join(e.data for e in client.receive_data(wire.take()) if isinstance(e, DataReceived))
        assert received == b"".join(head + data for head, data in whole)
        assert protocol.h2.outbound_flow_control_window == client.inbound_flow_control_window
        protocol.connection_lost(None)

    asyncio.run(run())


PEER_BYTES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda kind, flags, stream, body: (
                len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body
            ),
            st.integers(0, 12),
            st.integers(0, 255),
            st.integers(0, 9),
            st.binary(max_size=40),
        ),
    ),
    max_size=20,
).map(b"".join)


@given(wire_bytes=PEER_BYTES, cuts=st.lists(st.floats(0, 1), max_size=10), is_server=st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_a_peer_sends_is_answered_or_ends_the_connection_without_an_exception(
    wire_bytes: bytes, cuts: list[float], is_server: bool
) -> None:
    async def run() -> None:
        handler: AbstractHandler = Accepting() if is_server else ClientHandler()
        limits = TransportLimits() if is_server else CLIENT_LIMITS
        protocol, wire = _protocol(TollGate if is_server else ClientProtocol, handler, limits)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if is_server else b""
        _feed(protocol, preface + b"\0\0\0\4\0\0\0\0\0" + wire_bytes, cuts)
        if wire.is_over:
            assert protocol.connection.is_lost or wire.is_closing()
        protocol.connection_lost(None)

    asyncio.run(run())
