from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from gproc.errors import ConfigError
from gproc.server.tls import TlsFiles, load_tls, why_refused
from gproc.testing import Authority, Files, Forger
from gproc.testing.forger import SERVER, subject

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
YESTERDAY = NOW - 2 * DAY, NOW - DAY
TOMORROW = NOW + DAY, NOW + 2 * DAY


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Forger:
    (tmp_path / "stranger").mkdir()
    return Forger(tmp_path / "stranger")


def as_server(files: Files, crl: Path | None = None) -> TlsFiles:
    return TlsFiles(cacert=files.cacert, cert=files.cert, key=files.key, crl=crl)


def as_client(files: Files | None, cacert: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cacert)
    context.set_alpn_protocols(["h2"])
    if files is not None:
        context.load_cert_chain(files.cert, files.key)
    return context


def step(shake: Callable[[], None]) -> None:
    with suppress(ssl.SSLWantReadError):
        shake()


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    for _ in range(2):
        step(here.do_handshake)
        step(there.do_handshake)
    there.write(b"x")
    assert here.read(1) == b"x"
    return there, here


def test_a_client_of_the_authority_is_let_in_and_speaks_h2_over_tls_1_3(forger: Forger) -> None:
    context = load_tls(as_server(forger.server())).context
    there, _ = handshake(context, as_client(forger.client(), forger.cacert))
    assert (there.version(), there.selected_alpn_protocol()) == ("TLSv1.3", "h2")


def test_the_throwaway_authority_passes_strict_checks_on_both_sides(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    client = as_client(authority.client("alice"), authority.cacert)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    there, _ = handshake(load_tls(as_server(authority.server())).context, client)
    assert there.getpeercert()


BAD_CLIENTS: dict[str, Callable[[Forger, Forger], Files | None]] = {
    "no certificate": lambda *_: None,
    "another authority of the same name": lambda _, stranger: stranger.client(),
    "self-signed": lambda _, stranger: stranger.write(stranger.root, [stranger.root.certificate]),
    "expired": lambda forger, _: forger.client(period=YESTERDAY),
    "not yet valid": lambda forger, _: forger.client(period=TOMORROW),
    "made for servers": lambda forger, _: forger.client(usage=SERVER),
    "signed by a client": lambda forger, _: forger.client(signer=forger.sign("mallory")),
    "signed by an intermediate": lambda forger, _: forger.client(
        signer=forger.sign("Middle", usage=None, authority=True)
    ),
    "no key identifier of its issuer": lambda forger, _: forger.client(bare=True),
}


@pytest.mark.parametrize("what", BAD_CLIENTS)
def test_a_bad_client_is_refused_by_the_server(forger: Forger, stranger: Forger, what: str) -> None:
    context = load_tls(as_server(forger.server())).context
    files = BAD_CLIENTS[what](forger, stranger)
    with pytest.raises(ssl.SSLError):
        handshake(context, as_client(files, forger.cacert))


def test_tls_1_2_is_refused(forger: Forger) -> None:
    client = as_client(forger.client(), forger.cacert)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(load_tls(as_server(forger.server())).context, client)


def test_without_an_intermediate_limit_the_client_would_have_been_let_in(tmp_path: Path) -> None:
    forger = Forger(tmp_path, path_length=None)
    files = forger.client(signer=forger.sign("Middle", usage=None, authority=True))
    handshake(load_tls(as_server(forger.server())).context, as_client(files, forger.cacert))


def test_a_session_is_never_resumed(forger: Forger) -> None:
    context = load_tls(as_server(forger.server())).context
    client = as_client(forger.client(), forger.cacert)
    _, first = handshake(context, client)
    there, _ = handshake(context, client, first.session)
    assert not there.session_reused


def test_a_revoked_client_is_refused_and_another_is_not(forger: Forger) -> None:
    alice, bob = forger.client("alice"), forger.client("bob")
    context = load_tls(as_server(forger.server(), forger.revoked(alice))).context
    handshake(context, as_client(bob, forger.cacert))
    with pytest.raises(ssl.SSLError):
        handshake(context, as_client(alice, forger.cacert))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_can_read_is_refused(forger: Forger, mode: int) -> None:
    files = forger.server()
    files.key.chmod(mode)
    with pytest.raises(ConfigError, match=f"{files.key.name}.*chmod 600"):
        load_tls(as_server(files))


def test_a_key_of_another_certificate_is_refused(forger: Forger) -> None:
    one, other = forger.server(), forger.server()
    with pytest.raises(ConfigError, match="not the key of"):
        load_tls(TlsFiles(cacert=one.cacert, cert=one.cert, key=other.key))


def test_a_key_with_a_password_is_refused_without_asking_for_it(forger: Forger) -> None:
    signed = forger.sign(subject(), usage=SERVER, hosts=("localhost",))
    files = forger.write(signed, [signed.certificate])
    files.key.write_bytes(
        signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(ConfigError, match="encrypted"):
        load_tls(as_server(files))


def test_what_is_missing_is_named(forger: Forger, tmp_path: Path) -> None:
    files, gone = forger.server(), tmp_path / "gone"
    for broken in (
        TlsFiles(cacert=gone, cert=files.cert, key=files.key),
        TlsFiles(cacert=files.cacert, cert=gone, key=files.key),
        TlsFiles(cacert=files.cacert, cert=files.cert, key=gone),
        as_server(files, gone),
    ):
        with pytest.raises(ConfigError, match=r"gone: .*No such file"):
            load_tls(broken)


def test_what_holds_no_certificate_is_named(forger: Forger) -> None:
    files = forger.server()
    files.cert.write_bytes(b"-----BEGIN NOTHING-----\n")
    with pytest.raises(ConfigError, match="not a certificate in PEM form"):
        load_tls(as_server(files))


def test_two_authorities_in_one_file_are_refused(forger: Forger, stranger: Forger) -> None:
    files = forger.server()
    files.cacert.write_bytes(files.cacert.read_bytes() + stranger.cacert.read_bytes())
    with pytest.raises(ConfigError, match="holds 2 certificates"):
        load_tls(as_server(files))


def test_a_server_certificate_outside_its_dates_is_refused(forger: Forger) -> None:
    with pytest.raises(ConfigError, match="expired on"):
        load_tls(as_server(forger.server(period=YESTERDAY)))
    with pytest.raises(ConfigError, match="not valid before"):
        load_tls(as_server(forger.server(period=TOMORROW)))


def test_a_revocation_list_that_would_shut_everybody_out_is_refused(forger: Forger, stranger: Forger) -> None:
    files = forger.server()
    with pytest.raises(ConfigError, match="not signed by the authority"):
        load_tls(as_server(files, stranger.revoked()))
    with pytest.raises(ConfigError, match="ended on"):
        load_tls(as_server(files, forger.revoked(period=YESTERDAY)))
    with pytest.raises(ConfigError, match="only from"):
        load_tls(as_server(files, forger.revoked(period=TOMORROW)))
    with pytest.raises(ConfigError, match="no revocation list"):
        load_tls(as_server(files, files.cert))


def test_who_is_connected_is_judged_again_by_new_files(forger: Forger, stranger: Forger) -> None:
    alice, bob = forger.sign("alice"), forger.sign("bob")
    revoked = forger.revoked(forger.write(alice, [alice.certificate]))
    tls = load_tls(as_server(forger.server(), revoked))

    assert why_refused(tls, alice.certificate, NOW) == "revoked"
    assert why_refused(tls, bob.certificate, NOW) is None
    assert why_refused(tls, bob.certificate, NOW + 2 * DAY) == "expired"
    assert why_refused(tls, stranger.sign("alice").certificate, NOW) == "issued by another authority"


def test_a_client_certificate_is_not_good_enough_for_a_server(forger: Forger) -> None:
    with pytest.raises(ConfigError, match="not a server certificate"):
        load_tls(as_server(forger.client()))


def test_a_certificate_that_clients_will_take_leaves_no_doubt(forger: Forger) -> None:
    assert load_tls(as_server(forger.server(), forger.revoked(forger.client()))).doubts == ()


def test_a_revocation_list_beside_the_authority_that_is_not_used_is_doubted(forger: Forger) -> None:
    unused = forger.cacert.with_name("crl.pem")
    forger.revoked(forger.client()).rename(unused)
    (doubt,) = load_tls(as_server(forger.server())).doubts
    assert doubt.startswith(f"{unused}: not in use")
    assert load_tls(as_server(forger.server(), unused)).doubts == ()


def test_a_server_certificate_of_another_authority_works_and_is_doubted(forger: Forger, stranger: Forger) -> None:
    files = stranger.server()
    tls = load_tls(TlsFiles(cacert=forger.cacert, cert=files.cert, key=files.key))
    handshake(tls.context, as_client(forger.client(), stranger.cacert))
    (doubt,) = tls.doubts
    assert doubt.startswith(f"{files.cert}: not issued by the authority of {forger.cacert}")


def test_a_server_certificate_that_comes_with_its_intermediate_is_not_doubted(tmp_path: Path) -> None:
    forger = Forger(tmp_path, path_length=None)
    middle = forger.sign("Middle", usage=None, authority=True)
    signed = forger.sign(subject(), usage=SERVER, hosts=("localhost",), signer=middle)
    assert load_tls(as_server(forger.write(signed, [signed.certificate, middle.certificate]))).doubts == ()


def test_a_server_whose_own_certificate_is_revoked_is_told(forger: Forger) -> None:
    files = forger.server()
    revoked = forger.revoked(files)
    assert [f"revoked by {revoked}" in doubt for doubt in load_tls(as_server(files, revoked)).doubts] == [True]


@pytest.mark.parametrize("which", ["cacert", "cert", "key"])
def test_a_file_that_is_damaged_inside_is_an_error_of_the_configuration(forger: Forger, which: str) -> None:
    files = as_server(forger.server())
    path = forger.directory / "damaged.pem"
    path.touch(mode=0o600)
    path.write_bytes(damaged(getattr(files, which).read_bytes()))
    with pytest.raises(ConfigError, match=r"damaged\.pem"):
        load_tls(replace(files, **{which: path}))


def damaged(pem: bytes) -> bytes:
    """Return the first block of *pem* with one byte changed, in the name of the curve of its key."""
    first, *lines, last = [*pem.partition(b"\n-----END")[0].splitlines(), pem.splitlines()[-1]]
    curve = bytes.fromhex("2a8648ce3d030107")
    content = base64.b64decode(b"".join(lines))
    assert curve in content
    return first + b"\n" + base64.encodebytes(content.replace(curve, curve[:-1] + b"\x43")) + last + b"\n"
