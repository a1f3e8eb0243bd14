from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.errors import Unauthenticated
from gproc.server.identity import identify, read_certificate
from gproc.testing import Authority, Forger
from gproc.testing.forger import SERVER, subject


def encoded(value: str, kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value, _type=kind, _validate=False)])


def part(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.RelativeDistinguishedName:
    return x509.RelativeDistinguishedName([x509.NameAttribute(oid, value) for oid, value in attributes])


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(tmp_path)


@pytest.mark.parametrize("name", ["alice", "Alice", "a", "0", "ci-runner_7", "bob@example.org", "x" * 64])
def test_a_plain_common_name_is_the_owner_byte_for_byte(forger: Forger, name: str) -> None:
    assert identify(forger.sign(name).certificate) == name


def test_other_parts_of_the_subject_do_not_matter(forger: Forger) -> None:
    name = x509.Name([part((NameOID.ORGANIZATION_NAME, "root")), part((NameOID.COMMON_NAME, "alice"))])
    assert identify(forger.sign(name).certificate) == "alice"


def test_a_printable_string_is_as_plain_as_utf8(forger: Forger) -> None:
    assert identify(forger.sign(encoded("alice", _ASN1Type.PrintableString)).certificate) == "alice"


def test_a_client_of_the_throwaway_authority_is_accepted(tmp_path: Path) -> None:
    pem = Authority(tmp_path).client("alice").cert.read_bytes()
    assert identify(x509.load_pem_x509_certificate(pem)) == "alice"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "alice ",
        " alice",
        "-rf",
        ".hidden",
        "../../etc",
        "al\0ice",
        "alice\n",
        "al\x1b[31mice",
        "аlice",  # noqa: RUF001 - the first letter is Cyrillic: that is the point
        "\u202ealice",
        "a/b",
        "bob,CN=alice",
        "x" * 65,
    ],
)
@pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning")
def test_a_common_name_that_may_not_own_jobs_is_refused(forger: Forger, name: str) -> None:
    with pytest.raises(Unauthenticated):
        identify(forger.sign(encoded(name, _ASN1Type.UTF8String)).certificate)


def test_a_malformed_name_is_refused_even_where_warnings_are_errors(forger: Forger) -> None:
    with warnings.catch_warnings(action="ignore"):
        certificate = forger.sign(encoded("x" * 65, _ASN1Type.UTF8String)).certificate

    with pytest.raises(Unauthenticated):
        identify(certificate)


@pytest.mark.parametrize(
    "kind", [_ASN1Type.BMPString, _ASN1Type.T61String, _ASN1Type.UniversalString, _ASN1Type.IA5String]
)
def test_a_common_name_in_another_alphabet_is_refused(forger: Forger, kind: _ASN1Type) -> None:
    try:
        certificate = forger.sign(encoded("alice", kind)).certificate
    except (ValueError, TypeError):
        pytest.skip(f"cryptography cannot make a {kind.name}")

    with pytest.raises(Unauthenticated):
        identify(certificate)


@pytest.mark.parametrize(
    "name",
    [
        subject(),
        subject("alice", "bob"),
        subject("alice", "alice"),
        x509.Name([part((NameOID.COMMON_NAME, "alice"), (NameOID.COMMON_NAME, "bob"))]),
        x509.Name([part((NameOID.COMMON_NAME, "alice"), (NameOID.ORGANIZATION_NAME, "x"))]),
        x509.Name([part((NameOID.ORGANIZATION_NAME, "alice"))]),
    ],
    ids=["none", "two", "twice the same", "two in one part", "not alone in its part", "another attribute"],
)
def test_anything_but_exactly_one_common_name_is_refused(forger: Forger, name: x509.Name) -> None:
    with pytest.raises(Unauthenticated, match="exactly one common name"):
        identify(forger.sign(name).certificate)


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (None, "says nothing about its use"),
        (SERVER, "not made for clientAuth"),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), "not made for clientAuth"),
    ],
)
def test_a_certificate_that_is_not_for_clients_is_refused(
    forger: Forger, usage: tuple[x509.ObjectIdentifier, ...] | None, reason: str
) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        identify(forger.sign("alice", usage=usage).certificate)


def test_no_certificate_is_nobody() -> None:
    with pytest.raises(Unauthenticated, match="no client certificate"):
        read_certificate(None)


def test_bytes_that_are_no_certificate_are_nobody(forger: Forger) -> None:
    der = forger.sign("alice").certificate.public_bytes(Encoding.DER)
    assert identify(read_certificate(der)) == "alice"
    with pytest.raises(Unauthenticated, match="cannot be read"):
        read_certificate(der[:-1])
