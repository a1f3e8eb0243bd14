from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.certs import Authority, CertificateKind, inspect
from gproc.certs._profiles import make_key
from gproc.errors import CertificateError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "pki")


def self_made(path: Path, names: list[str], *usages: x509.ObjectIdentifier) -> Path:
    key, now = make_key(), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(0xABC)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_a_client_certificate_tells_its_name_and_kind(authority: Authority) -> None:
    issued = authority.issue_client("alice")
    info = inspect(str(issued.cert))
    assert (info.path, info.kind, info.name, info.hosts) == (issued.cert, CertificateKind.CLIENT, "alice", ())
    assert (info.serial, info.not_before, info.not_after) == (issued.serial, issued.not_before, issued.not_after)
    assert info.issuer == f"CN={inspect(authority.directory / 'ca.crt').name}"


def test_a_server_certificate_tells_its_hosts(authority: Authority) -> None:
    info = inspect(authority.issue_server(["localhost", "192.0.2.7"]).cert)
    assert (info.kind, info.hosts) == (CertificateKind.SERVER, ("localhost", "192.0.2.7"))


def test_an_authority_is_told_from_its_basic_constraints(authority: Authority) -> None:
    assert inspect(authority.directory / "ca.crt").kind is CertificateKind.CA


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")
def test_the_fingerprint_is_the_one_that_openssl_prints(authority: Authority) -> None:
    path = authority.directory / "ca.crt"
    printed = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout
    assert printed.strip().rpartition("=")[2] == inspect(path).fingerprint


def test_certificates_of_other_makers_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "server.crt"
    trustme.CA().issue_cert("localhost").cert_chain_pems[0].write_to_path(path)
    info = inspect(path)
    assert (info.kind, info.hosts, info.name) == (CertificateKind.OTHER, ("localhost",), "")


def test_a_certificate_with_two_common_names_has_no_name(tmp_path: Path) -> None:
    info = inspect(self_made(tmp_path / "two.crt", ["alice", "root"], ExtendedKeyUsageOID.CLIENT_AUTH))
    assert (info.name, info.common_names) == ("", ("alice", "root"))


def test_a_certificate_without_a_purpose_is_of_no_kind(tmp_path: Path) -> None:
    assert inspect(self_made(tmp_path / "any.crt", ["alice"])).kind is CertificateKind.OTHER


def test_a_file_that_is_no_certificate_is_named_with_what_to_give(authority: Authority) -> None:
    with pytest.raises(CertificateError, match=r"ca\.key: not a certificate in PEM form; give the file"):
        inspect(authority.directory / "ca.key")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"nothing\.crt: No such file"):
        inspect(tmp_path / "nothing.crt")
