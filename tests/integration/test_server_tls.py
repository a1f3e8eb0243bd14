from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gproc.client import Client, Patience
from gproc.errors import CertificateRefused, ConfigError, GprocError, QuotaExceeded, Unauthenticated, Unavailable
from gproc.model import Chunk
from gproc.model.policy import Quotas
from gproc.server import RunningServer, ServeOptions, open_server
from gproc.store.retention import Retention
from gproc.testing import Files, Forger
from gproc.testing.embedded import end_jobs, make_options
from gproc.testing.forger import subject

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ONCE = Patience(total=0)


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(tmp_path)


def options(forger: Forger, crl: Path | None = None) -> ServeOptions:
    files = forger.server()
    made = make_options(files, forger.directory, users={}, rules=(), quotas=Quotas())
    return replace(made, crl=crl)


@asynccontextmanager
async def opened(asked: ServeOptions) -> AsyncIterator[RunningServer]:
    async with open_server(asked) as server:
        try:
            yield server
        finally:
            await end_jobs(server.supervisor)


@asynccontextmanager
async def connected(server: RunningServer, files: Files) -> AsyncIterator[Client]:
    async with Client(
        server.addr, cacert=files.cacert, cert=files.cert, key=files.key, timeout=5, patience=ONCE
    ) as client:
        yield client


async def ask(server: RunningServer, files: Files) -> None:
    async with connected(server, files) as client:
        [status async for status in client.list()]


async def test_only_who_the_authority_vouches_for_gets_an_answer(forger: Forger, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Forger(tmp_path / "stranger")
    async with opened(options(forger)) as server:
        await ask(server, forger.client())
        for bad, why in (
            (replace(stranger.client(), cacert=forger.cacert), "unknown authority"),
            (forger.client(period=(NOW - 2 * DAY, NOW - DAY)), "expired"),
            (forger.client(period=(NOW + DAY, NOW + 2 * DAY)), "bad certificate"),
        ):
            with pytest.raises(CertificateRefused, match=why):
                await ask(server, bad)


@pytest.mark.parametrize(
    ("name", "usage", "reason"),
    [
        (subject("alice", "bob"), True, "exactly one common name"),
        (subject(), True, "exactly one common name"),
        (subject("../../etc"), True, "not acceptable"),
        (subject("alice"), False, "says nothing about its use"),
    ],
)
async def test_who_is_nobody_is_told_so_in_every_rpc_and_logged_once(
    forger: Forger, name: x509.Name, usage: bool, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = forger.client(name) if usage else forger.client(name, usage=None)
    async with opened(options(forger)) as server, connected(server, files) as client:
        for _ in range(2):
            with pytest.raises(Unauthenticated, match=reason):
                await client.start("true")
    refused = [record for record in caplog.records if getattr(record, "event", "") == "connection refused"]
    assert len(refused) == 1
    assert refused[0].levelno == logging.WARNING


async def test_a_client_that_does_not_offer_h2_is_cut(forger: Forger) -> None:
    files = forger.client()
    async with opened(options(forger)) as server:
        context = ssl.create_default_context(cafile=files.cacert)
        context.load_cert_chain(files.cert, files.key)
        host, _, port = server.addr.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        try:
            async with asyncio.timeout(5):
                with suppress(ConnectionError):
                    while await reader.read(1000):
                        pass
        finally:
            writer.transport.abort()


async def test_a_revoked_owner_is_cut_within_a_second_of_the_reload_and_others_are_not(forger: Forger) -> None:
    alice, bob = forger.client("alice"), forger.client("bob")
    asked = options(forger, forger.revoked())
    async with opened(asked) as server, connected(server, alice) as hers, connected(server, bob) as his:
        job = await hers.start("sh", ["-c", "echo ready; sleep 1000"])
        his_job = await his.start("sh", ["-c", "echo ready; sleep 1; echo more"])
        reading, his_reading = aiter(job.output()), aiter(his_job.output())
        assert isinstance(await anext(reading), Chunk)
        assert isinstance(await anext(his_reading), Chunk)

        server.reload(replace(asked, crl=forger.revoked(alice)))
        async with asyncio.timeout(1):
            with pytest.raises(GprocError):
                await anext(reading)
        with pytest.raises(CertificateRefused, match="revoked"):
            await hers.status(job.id)
        assert [bytes(piece.data) async for piece in his_reading if isinstance(piece, Chunk)] == [b"more\n"]


async def test_a_revoked_owner_does_not_get_in_with_a_handshake_that_began_before_the_reload(forger: Forger) -> None:
    alice = forger.client("alice")
    asked = options(forger, forger.revoked())
    async with opened(asked) as server:
        async with half_shaken(server, alice) as go_on:
            server.reload(replace(asked, crl=forger.revoked()))
            assert await go_on()
        async with half_shaken(server, alice) as go_on:
            server.reload(replace(asked, crl=forger.revoked(alice)))
            assert not await go_on()


@asynccontextmanager
async def half_shaken(server: RunningServer, files: Files) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Begin a handshake; what is given ends it, and tells whether the server then speaks HTTP/2 and stays."""
    context = ssl.create_default_context(cafile=files.cacert)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    host, _, port = server.addr.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    writer.write(outgoing.read())
    incoming.write(await reader.read(65536))

    async def go_on() -> bool:
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        writer.write(outgoing.read())
        try:
            async with asyncio.timeout(1):
                while came := await reader.read(65536):
                    incoming.write(came)
                return False
        except TimeoutError:
            return True
        except ConnectionError:
            return False

    try:
        yield go_on
    finally:
        writer.transport.abort()


async def test_a_renewed_certificate_is_shown_to_new_clients_and_old_connections_stay(forger: Forger) -> None:
    asked, files = options(forger), forger.client()
    async with opened(asked) as server, connected(server, files) as early:
        await early.connect()
        before = await shown_certificate(server, files)
        renewed = forger.server()
        server.reload(replace(asked, cert=renewed.cert, key=renewed.key))

        assert await shown_certificate(server, files) != before
        await early.start("true")


async def test_bad_new_files_leave_everything_as_it_was(forger: Forger) -> None:
    asked, files = options(forger), forger.client()
    async with opened(asked) as server:
        before = await shown_certificate(server, files)
        for broken in (
            replace(asked, cert=forger.directory / "gone"),
            replace(asked, key=forger.server().key),
            replace(asked, crl=asked.cert),
            replace(asked, users={"alice": "no-such-user-here"}),
        ):
            with pytest.raises(ConfigError):
                server.reload(broken)
        assert await shown_certificate(server, files) == before
        await ask(server, files)


async def test_a_reload_logs_what_waits_for_the_next_start(forger: Forger, caplog: pytest.LogCaptureFixture) -> None:
    asked = options(forger)
    async with opened(asked) as server:
        server.reload(asked)
        assert not caplog.records
        server.reload(replace(asked, settings=replace(asked.settings, retention=Retention(count=1))))
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["fields"]["settings"]) == ("reload_partial", "retention")


async def test_connections_keep_coming_while_certificates_are_reloaded(forger: Forger) -> None:
    asked, files = options(forger), forger.client()
    async with opened(asked) as server:
        renewed = [forger.server() for _ in range(10)]

        async def reload_all() -> None:
            for each in renewed:
                server.reload(replace(asked, cert=each.cert, key=each.key))
                await ask(server, files)

        await asyncio.gather(reload_all(), *(ask(server, files) for _ in range(20)))


async def test_an_address_that_is_taken_is_named(
    forger: Forger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gproc.server")
    asked = options(forger)
    async with opened(asked) as server:
        with pytest.raises(ConfigError, match=f"{server.addr}.*in use"):
            async with opened(replace(asked, addr=server.addr, state_dir=tmp_path / "other")):
                pass
        assert [record.getMessage() for record in caplog.records].count("server_ended") == 0


async def test_f3_one_owner_with_too_many_connections_does_not_hinder_another(forger: Forger) -> None:
    asked = replace(options(forger), quotas=Quotas(connections=2))
    alice, bob = forger.client("alice"), forger.client("bob")
    async with (
        opened(asked) as server,
        connected(server, alice) as one,
        connected(server, alice) as two,
        connected(server, alice) as three,
    ):
        await one.start("true")
        await two.start("true")
        with pytest.raises(GprocError, match="2 connections"):
            await three.start("true")
        await ask(server, bob)


async def test_an_owner_who_may_have_no_connections_is_told_so(forger: Forger) -> None:
    async with opened(replace(options(forger), quotas=Quotas(connections=0))) as server:
        with pytest.raises(QuotaExceeded, match="0 connections"):
            await ask(server, forger.client())


async def test_after_the_end_nobody_answers(forger: Forger) -> None:
    async with opened(options(forger)) as server:
        pass
    with pytest.raises(Unavailable):
        await ask(server, forger.client())


async def shown_certificate(server: RunningServer, files: Files) -> bytes:
    context = ssl.create_default_context(cafile=files.cacert)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = server.addr.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(shown, bytes)
        return shown
    finally:
        writer.transport.abort()
