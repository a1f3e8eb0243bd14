from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest

from gproc.client import Client, Patience
from gproc.client.connection import was_unprocessed
from gproc.errors import CertificateRefused, Unavailable
from gproc.transport import ConnectionLost

BRIEF = Patience(total=1.0, attempts=3, first_delay=0.001, max_delay=0.01)


async def test_the_server_refuses_a_certificate_of_another_authority(
    serve: Any, server: Any, pki: Any, other_pki: Any
) -> None:
    stranger = {**other_pki.files("mallory"), "cacert": pki.cacert}
    async with Client(f"127.0.0.1:{server.port}", **stranger) as client:
        with pytest.raises(CertificateRefused, match=r"the server refused this certificate \("):
            await client.status(server.add())
    assert not server.calls


async def test_the_client_refuses_a_server_of_another_authority(server: Any, alice: Any, other_pki: Any) -> None:
    async with Client(f"127.0.0.1:{server.port}", **{**alice, "cacert": other_pki.cacert}) as client:
        with pytest.raises(CertificateRefused, match=r"its certificate is not accepted .*--cacert"):
            await client.status("0" * 36)
        assert not client.may_have_asked


async def test_the_client_refuses_a_server_of_another_name(serve: Any, server: Any, pki: Any, alice: Any) -> None:
    files = pki.issue("elsewhere", "elsewhere.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["cert"], files["key"])
    context.set_alpn_protocols(["h2"])
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with Client(f"127.0.0.1:{port}", **alice) as client:
            with pytest.raises(CertificateRefused, match="IP address mismatch"):
                await client.connect()


async def test_nobody_listening_is_told_soon(alice: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    started = time.monotonic()
    async with Client(f"127.0.0.1:{port}", **alice) as client:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}: nobody listens there; start `gproc serve`"):
            await client.status("0" * 36)
    assert time.monotonic() - started < 5


async def test_a_host_that_does_not_exist_is_told(alice: Any) -> None:
    async with Client("no-such-host.invalid:1", **alice, patience=BRIEF) as client:
        with pytest.raises(Unavailable, match=r"no-such-host\.invalid:1: no such host"):
            await client.connect()


async def test_a_server_that_does_not_speak_tls_is_told(alice: Any) -> None:
    async def hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(hello, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with Client(f"127.0.0.1:{port}", **alice) as client:
            with pytest.raises(Unavailable, match="does not speak TLS as Gproc does"):
                await client.connect()


async def test_a_server_that_does_not_speak_http2_is_told(pki: Any, alice: Any) -> None:
    files = pki.issue("plain", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["cert"], files["key"])
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with Client(f"127.0.0.1:{port}", **alice) as client:
            with pytest.raises(Unavailable, match="speaks TLS, but not HTTP/2"):
                await client.connect()


async def test_a_server_that_hangs_up_after_the_handshake_is_told(pki: Any, alice: Any) -> None:
    files = pki.issue("rude", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["cert"], files["key"])
    context.set_alpn_protocols(["h2"])
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with Client(f"127.0.0.1:{port}", **alice, patience=BRIEF) as client:
            with pytest.raises(CertificateRefused, match=r"hung up after the handshake"):
                await client.status("0" * 36)


async def test_whether_a_request_can_have_arrived_is_known(client: Client, server: Any, alice: Any) -> None:
    async with Client("localhost:1", **alice, patience=BRIEF) as nobody:
        with pytest.raises(Unavailable):
            await nobody.status("0" * 36)
        assert not nobody.may_have_asked
    assert not client.may_have_asked
    await client.status(server.add())
    assert client.may_have_asked


async def test_many_calls_share_one_connection(client: Client, server: Any) -> None:
    job_id = server.add()
    statuses = await asyncio.gather(*(client.status(job_id) for _ in range(50)))
    assert {status.id for status in statuses} == {job_id}
    assert server.calls["Status"] == 50


async def test_the_client_comes_back_to_a_server_that_was_restarted(
    serve: Any, pki: Any, alice: Any, server: Any
) -> None:
    job_id = server.add()
    async with Client(f"127.0.0.1:{server.port}", **alice, patience=BRIEF) as client:
        await client.status(job_id)
        server.lost_replies = 2
        assert (await client.status(job_id)).id == job_id


@pytest.mark.parametrize(
    ("cause", "may_be_repeated"),
    [(ConnectionLost("gone", is_unprocessed=True), True), (ConnectionLost("gone"), False), (OSError(), False)],
)
def test_only_what_the_server_never_took_may_be_sent_again(cause: Exception, may_be_repeated: bool) -> None:
    error = Unavailable("gone")
    error.__cause__ = cause
    assert was_unprocessed(error) is may_be_repeated
