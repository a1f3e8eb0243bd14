from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gproc.certs import Authority, CertificateKind, diagnose
from gproc.certs._profiles import Validity, make_authority, make_key


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    authority = Authority.create(tmp_path / "pki")
    authority.issue_server(["localhost"])
    authority.issue_client("alice")
    authority.issue_client("bob")
    return authority.directory


def problems(
    pki: Path,
    *,
    cacert: Path | None = None,
    cert: str = "alice.crt",
    key: str = "alice.key",
    kind: CertificateKind = CertificateKind.CLIENT,
    now: datetime | None = None,
) -> tuple[str, ...]:
    return diagnose(cacert=cacert or pki / "ca.crt", cert=pki / cert, key=pki / key, kind=kind, now=now)


def test_files_that_belong_together_have_no_problems(pki: Path) -> None:
    assert problems(pki) == ()
    assert problems(pki, cert="server.crt", key="server.key", kind=CertificateKind.SERVER) == ()


def test_a_key_of_another_certificate_is_found(pki: Path) -> None:
    assert problems(pki, key="bob.key") == (
        f"{pki}/bob.key: not the key of {pki}/alice.crt; give the pair that was made together",
    )


def test_a_key_that_others_can_read_is_found(pki: Path) -> None:
    (pki / "alice.key").chmod(0o644)
    assert problems(pki) == (f"{pki}/alice.key: others can read it (mode 0644); `chmod 600 {pki}/alice.key`",)


def test_a_certificate_given_as_a_key_is_no_key_and_so_nothing_to_hide(pki: Path) -> None:
    assert (pki / "alice.crt").stat().st_mode & 0o777 == 0o644
    assert problems(pki, key="alice.crt") == (
        f"{pki}/alice.crt: not an unencrypted private key in PEM form; give the file that ends in .key",
    )


def test_a_key_that_is_none_is_found(pki: Path) -> None:
    (pki / "alice.key").write_text("nonsense")
    (problem,) = problems(pki)
    assert "not an unencrypted private key" in problem


def test_a_certificate_of_another_authority_is_found(pki: Path, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    (problem,) = problems(pki, cacert=other.directory / "ca.crt")
    assert "alice.crt: not issued by the authority of" in problem


def test_an_authority_of_the_same_name_with_another_key_is_found(pki: Path, tmp_path: Path) -> None:
    subject = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes()).subject
    validity = Validity.beginning(datetime.now(UTC), timedelta(days=1))
    impostor = tmp_path / "ca.crt"
    impostor.write_bytes(make_authority(make_key(), subject, validity).public_bytes(Encoding.PEM))
    (problem,) = problems(pki, cacert=impostor)
    assert "alice.crt: not issued by the authority of" in problem


def test_a_certificate_of_the_wrong_kind_is_found(pki: Path) -> None:
    (problem,) = problems(pki, cert="server.crt", key="server.key")
    assert problem == f"{pki}/server.crt: not a client certificate; `gproc certs client` makes one"
    (problem,) = problems(pki, kind=CertificateKind.SERVER)
    assert problem == f"{pki}/alice.crt: not a server certificate; `gproc certs server` makes one"


def test_dates_are_judged_by_the_clock(pki: Path) -> None:
    now = datetime.now(UTC)
    (expired,) = problems(pki, now=now + timedelta(days=366))
    assert "alice.crt: expired on" in expired
    early = problems(pki, now=now - timedelta(days=1))
    assert ["not valid before" in problem for problem in early] == [True, True]


def test_a_certificate_without_purpose_or_with_a_strange_name_is_found(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    for file, common_name in (("strange", "alice\nroot"), ("nameless", None)):
        made = ca.issue_cert("alice.example", common_name=common_name)
        made.cert_chain_pems[0].write_to_path(tmp_path / f"{file}.crt")
        made.private_key_pem.write_to_path(tmp_path / f"{file}.key")
        (tmp_path / f"{file}.key").chmod(0o600)
    (strange,) = problems(tmp_path, cert="strange.crt", key="strange.key")
    assert r"common name 'alice\nroot': not acceptable" in strange
    (nameless,) = problems(tmp_path, cert="nameless.crt", key="nameless.key")
    assert "has 0 common names" in nameless


def test_an_authority_is_no_client(pki: Path) -> None:
    found = problems(pki, cert="ca.crt", key="ca.key")
    assert found == (f"{pki}/ca.crt: not a client certificate; `gproc certs client` makes one",)


@pytest.mark.parametrize("missing", ["ca.crt", "alice.crt", "alice.key"])
def test_a_missing_file_is_told_once(pki: Path, missing: str) -> None:
    (pki / missing).unlink()
    assert problems(pki) == (f"{pki}/{missing}: No such file or directory",)
