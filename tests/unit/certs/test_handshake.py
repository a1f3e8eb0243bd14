"""The certificates, used: TLS 1.3 over real sockets with OpenSSL's strict checks, as server and client do it."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from gproc.certs import Authority


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    authority = Authority.create(tmp_path / "pki")
    authority.issue_server(["localhost", "127.0.0.1", "::1"])
    authority.issue_client("alice")
    return authority.directory


def server_context(pki: Path, name: str = "server") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki / "ca.crt")
    context.load_verify_locations(pki / "crl.pem")
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF
    context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    return context


def client_context(pki: Path, name: str = "alice") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    context.load_verify_locations(pki / "ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    return context


def owner_seen(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost") -> str:
    """Shake hands; return the common name that the server sees, or raise what either side raises."""
    server_end, client_end = socket.socketpair()
    for end in (server_end, client_end):
        end.settimeout(10)

    def serve() -> str:
        with server.wrap_socket(server_end, server_side=True) as connection:
            connection.sendall(b"!")
            der = connection.getpeercert(binary_form=True)
            assert der is not None
            (name,) = x509.load_der_x509_certificate(der).subject
            return str(name.value)

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve)
        try:
            with client.wrap_socket(client_end, server_hostname=host) as connection:
                connection.recv(1)
        finally:
            client_end.close()
        return served.result(10)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_server_and_client_accept_each_other_and_the_server_learns_who_it_is(pki: Path, host: str) -> None:
    assert owner_seen(server_context(pki), client_context(pki), host) == "alice"


def test_a_client_refuses_a_server_of_another_name(pki: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        owner_seen(server_context(pki), client_context(pki), "elsewhere.example")


def test_a_client_refuses_a_client_that_poses_as_a_server(pki: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        owner_seen(server_context(pki, "alice"), client_context(pki))


def test_a_server_refuses_a_server_that_poses_as_a_client(pki: Path) -> None:
    with pytest.raises(ssl.SSLError, match="unsupported certificate"):
        owner_seen(server_context(pki), client_context(pki, "server"))


def test_a_server_refuses_a_client_of_another_authority(pki: Path, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "stranger")
    stranger.issue_client("alice")
    client = client_context(stranger.directory)
    client.load_verify_locations(pki / "ca.crt")
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        owner_seen(server_context(pki), client)


def test_a_server_refuses_a_revoked_client_and_accepts_its_renewed_certificate(pki: Path) -> None:
    old = client_context(pki)
    authority = Authority.open(pki)
    authority.revoke("alice")
    with pytest.raises(ssl.SSLError, match="certificate revoked"):
        owner_seen(server_context(pki), old)
    authority.issue_client("alice", renew=True)
    assert owner_seen(server_context(pki), client_context(pki)) == "alice"


def test_a_client_cannot_issue_certificates_with_its_own(pki: Path, tmp_path: Path) -> None:
    rogue = tmp_path / "rogue"
    rogue.mkdir()
    for name in ("ca.crt", "crl.pem"):
        (rogue / name).write_bytes((pki / name).read_bytes())
    forged = Authority.create(tmp_path / "forger")
    forged.issue_client("root")
    chain = (forged.directory / "root.crt").read_bytes() + (pki / "alice.crt").read_bytes()
    (rogue / "root.crt").write_bytes(chain)
    (rogue / "root.key").write_bytes((forged.directory / "root.key").read_bytes())
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        owner_seen(server_context(pki), client_context(rogue, "root"))
