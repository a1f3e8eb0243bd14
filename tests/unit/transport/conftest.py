"""Real TLS on loopback, a small service, and a peer that sends any frames it likes."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self

import pytest
import trustme
from grpclib.client import UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality
from grpclib.const import Handler as Method
from grpclib.encoding.base import CodecBase
from grpclib.server import Stream
from hpack.hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, SettingsFrame

from gproc.transport import (
    HardenedChannel,
    HardenedServer,
    TransportLimits,
    encode_output_head,
    output_room,
    send_output,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE = 10.0
LEFT_OUT = "(left out)"


class BytesCodec(CodecBase):
    """Messages are bytes, except those that begin with "bad"."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        if data.startswith(b"bad"):
            raise ValueError("bad message")
        return data


@pytest.fixture
def codec() -> CodecBase:
    return BytesCodec()


class Service:
    """Echoes, streams output, hangs, fails; and remembers what happened to its handlers."""

    def __init__(self) -> None:
        self.started = 0
        self.heard = 0
        self.cancelled = 0
        self.running = asyncio.Event()
        self.go_on = asyncio.Event()
        self.output = b""
        self.piece = 64 * 1024

    async def echo(self, stream: Stream[bytes, bytes]) -> None:
        self.started += 1
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)

    async def get(self, stream: Stream[bytes, bytes]) -> None:
        self.started += 1
        self.running.set()
        try:
            offset = int(await stream.recv_message() or 0)
            while offset < len(self.output):
                await output_room(stream)
                data = self.output[offset : offset + self.piece]
                head = encode_output_head(stream=1, offset=offset, time_ns=offset, data_len=len(data))
                await send_output(stream, head, data)
                offset += len(data)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def hang(self, stream: Stream[bytes, bytes]) -> None:
        self.started += 1
        await stream.recv_message()
        self.heard += 1
        self.running.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await stream.send_message(b"done")

    async def fail(self, stream: Stream[bytes, bytes]) -> None:
        await stream.recv_message()
        raise RuntimeError("a secret of the server")

    def __mapping__(self) -> dict[str, Method]:
        unary, streaming = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM
        return {
            "/test.Service/Echo": Method(self.echo, unary, bytes, bytes),
            "/test.Service/Hang": Method(self.hang, unary, bytes, bytes),
            "/test.Service/Fail": Method(self.fail, unary, bytes, bytes),
            "/test.Service/Get": Method(self.get, streaming, bytes, bytes),
        }


class Stub:
    def __init__(self, channel: Any) -> None:
        self.echo: UnaryUnaryMethod[bytes, bytes] = UnaryUnaryMethod(channel, "/test.Service/Echo", bytes, bytes)
        self.hang: UnaryUnaryMethod[bytes, bytes] = UnaryUnaryMethod(channel, "/test.Service/Hang", bytes, bytes)
        self.fail: UnaryUnaryMethod[bytes, bytes] = UnaryUnaryMethod(channel, "/test.Service/Fail", bytes, bytes)
        self.get: UnaryStreamMethod[bytes, bytes] = UnaryStreamMethod(channel, "/test.Service/Get", bytes, bytes)


class Tls:
    """An authority, a server's context, and contexts for clients."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.minimum_version = ssl.TLSVersion.TLSv1_3
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.set_alpn_protocols(["h2"])
        self.authority.configure_trust(self.server)
        self.authority.issue_cert("localhost", "127.0.0.1").configure_cert(self.server)

    def client(self, name: str = "alice", *, alpn: str = "h2", with_certificate: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols([alpn])
        self.authority.configure_trust(context)
        if with_certificate:
            self.authority.issue_cert(name, common_name=name).configure_cert(context)
        return context


@pytest.fixture(scope="session")
def tls() -> Tls:
    return Tls()


@pytest.fixture(scope="session")
def uvloop() -> Any:
    module = pytest.importorskip("uvloop")
    module.new_event_loop().close()  # the first loop opens a pipe that belongs to the whole process
    return module


class Serving:
    """A running server, its service, and what is needed to talk to it."""

    def __init__(self, server: HardenedServer, service: Service, tls: Tls) -> None:
        self.server = server
        self.service = service
        self._tls = tls

    @asynccontextmanager
    async def channel(self, name: str = "alice", **options: Any) -> AsyncIterator[HardenedChannel]:
        options.setdefault("ssl", self._tls.client(name))
        channel = HardenedChannel("localhost", self.server.port, codec=BytesCodec(), **options)
        try:
            yield channel
        finally:
            channel.close()
            await channel.wait_closed()

    @asynccontextmanager
    async def stub(self, name: str = "alice", **options: Any) -> AsyncIterator[Stub]:
        async with self.channel(name, **options) as channel:
            yield Stub(channel)

    @asynccontextmanager
    async def peer(self, **options: Any) -> AsyncIterator["Peer"]:
        """Connect a peer that speaks raw frames."""
        begin = options.pop("begin", True)
        reader, writer = await asyncio.open_connection(
            "localhost", self.server.port, ssl=self._tls.client(**options), limit=2**20
        )
        peer = Peer(reader, writer)
        if begin:
            await peer.send_bytes(PREFACE)
            await peer.send(SettingsFrame(0))
        try:
            yield peer
        finally:
            writer.transport.abort()
            await until(writer.transport.is_closing)
            await asyncio.sleep(0)


class Serve(Protocol):
    def __call__(self, *, limits: TransportLimits = ..., **options: Any) -> Awaitable[Serving]: ...


@pytest.fixture
async def serve(tls: Tls) -> AsyncIterator[Serve]:
    servers: list[HardenedServer] = []

    async def begin(*, limits: TransportLimits | None = None, **options: Any) -> Serving:
        service = Service()
        server = HardenedServer([service], codec=BytesCodec(), limits=limits, **options)
        servers.append(server)
        await server.start("localhost", 0, ssl=tls.server)
        return Serving(server, service, tls)

    yield begin
    for server in servers:
        server.close()
        async with asyncio.timeout(PATIENCE):
            await server.wait_closed()
        assert not server.connections
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left


class Peer:
    """Sends frames, right or wrong, and reads what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.received: list[Frame] = []

    def shrink_buffers(self) -> None:
        """Let the system keep little for us, so that it shows soon when we do not read."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, *frames: Frame) -> None:
        await self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def headers(self, number: int, path: str = "/test.Service/Echo", *, end: bool = False, **more: Any) -> HeadersFrame:
        fields = {
            ":method": "POST",
            ":scheme": "https",
            ":path": path,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        fields |= {name.replace("_", "-").replace("COLON", ":"): value for name, value in more.items()}
        block = self.encoder.encode([(name, value) for name, value in fields.items() if value != LEFT_OUT])
        frame = HeadersFrame(number, data=block)
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def data(self, number: int, data: bytes, *, end: bool = False) -> DataFrame:
        frame = DataFrame(number, data=data)
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def message(self, number: int, message: bytes, *, end: bool = True) -> DataFrame:
        return self.data(number, b"\0" + len(message).to_bytes(4, "big") + message, end=end)

    async def read(self) -> Frame | None:
        """Return the next frame, None when the connection is closed."""
        try:
            async with asyncio.timeout(PATIENCE):
                frame, length = Frame.parse_frame_header(memoryview(await self.reader.readexactly(9)))
                frame.parse_body(memoryview(await self.reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None
        self.received.append(frame)
        return frame

    async def read_until(self, wanted: type[Frame], number: int | None = None) -> Any:
        """Return the next frame of a kind, and stream; fails when the connection closes before."""
        while (frame := await self.read()) is not None:
            if isinstance(frame, wanted) and number in {None, frame.stream_id}:
                return frame
        raise AssertionError(f"closed before a {wanted.__name__}; came: {self.received}")

    async def read_status(self, number: int) -> dict[str, str]:
        """Return the headers of a stream that carry its gRPC status."""
        while True:
            frame = await self.read_until(HeadersFrame, number)
            fields = {str(name): str(value) for name, value in self.decoder.decode(frame.data)}
            if "grpc-status" in fields:
                return fields

    async def read_to_end(self) -> None:
        """Read until the connection is closed; fails if it stays open."""
        while await self.read() is not None:
            pass

    def reset(self, number: int) -> RstStreamFrame:
        return RstStreamFrame(number, error_code=8)

    async def __aenter__(self) -> Self:
        return self


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for as long as a test may wait."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what holds has no event
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return until
