from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.certs import _profiles as profiles
from gproc.certs._profiles import Signer, Validity
from gproc.errors import CertificateError

NOW = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
VALIDITY = Validity.beginning(NOW, timedelta(days=1))


@pytest.fixture(scope="module")
def signer() -> Signer:
    key = profiles.make_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
    return Signer(profiles.make_authority(key, subject, VALIDITY), key)


def client(signer: Signer) -> x509.Certificate:
    return profiles.make_client(signer, profiles.make_key().public_key(), "alice", VALIDITY)


def server(signer: Signer, *hosts: str) -> x509.Certificate:
    parsed = [profiles.parse_host(host) for host in hosts]
    return profiles.make_server(signer, profiles.make_key().public_key(), parsed, VALIDITY)


def common_names(certificate: x509.Certificate) -> list[str | bytes]:
    return [attribute.value for attribute in certificate.subject]


def test_keys_are_on_the_curve_p_256() -> None:
    assert isinstance(profiles.make_key().curve, ec.SECP256R1)


def test_an_authority_may_sign_leaves_and_lists_and_nothing_below_another_authority(signer: Signer) -> None:
    constraints = signer.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = signer.certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature


def test_a_leaf_is_no_authority(signer: Signer) -> None:
    for leaf in (client(signer), server(signer, "localhost")):
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
        assert (constraints.critical, constraints.value.ca) == (True, False)
        assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)


def test_every_certificate_says_who_it_is_and_who_signed_it_by_key(signer: Signer) -> None:
    own = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    for certificate in (signer.certificate, client(signer), server(signer, "localhost")):
        authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        assert authority.key_identifier == own
        assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_a_client_has_one_common_name_one_purpose_and_no_host(signer: Signer) -> None:
    certificate = client(signer)
    assert common_names(certificate) == ["alice"]
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_a_server_has_one_purpose_and_names_and_addresses_apart(signer: Signer) -> None:
    certificate = server(signer, "localhost", "127.0.0.1", "::1", "*.example.org")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "*.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]


def test_a_server_has_the_name_of_its_first_host_if_that_fits(signer: Signer) -> None:
    longest = f"{'a' * 56}.example"
    assert len(longest) == 64
    assert common_names(server(signer, "localhost", "127.0.0.1")) == ["localhost"]
    assert common_names(server(signer, longest)) == [longest]


def test_a_host_too_long_for_a_common_name_still_gets_a_certificate(signer: Signer) -> None:
    host = f"{'a' * 57}.example"
    certificate = server(signer, host)
    assert common_names(certificate) == ["gproc server"]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host]


def test_serial_numbers_differ(signer: Signer) -> None:
    assert client(signer).serial_number != client(signer).serial_number


def test_validity_begins_a_little_in_the_past_in_whole_seconds() -> None:
    assert Validity.beginning(NOW, timedelta(days=1)) == Validity(
        datetime(2026, 5, 17, 11, 55, tzinfo=UTC), datetime(2026, 5, 18, 12, 0, tzinfo=UTC)
    )


def test_validity_ends_when_it_must() -> None:
    end = NOW + timedelta(hours=1)
    assert Validity.beginning(NOW, timedelta(days=1), at_most=end).not_after == end


@pytest.mark.parametrize(
    "text",
    ["localhost", "build-7.example.org", "my_container", "*.example.org", "xn--bcher-kva.de", "a." * 126 + "a"],
)
def test_a_dns_name_is_a_dns_name(text: str) -> None:
    assert profiles.parse_host(text) == x509.DNSName(text)


def test_a_dns_name_is_the_same_in_upper_case() -> None:
    assert profiles.parse_host("LocalHost") == profiles.parse_host("localhost")


@pytest.mark.parametrize(
    ("text", "address"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1"), ("[::1]", "::1")]
)
def test_an_address_is_an_address(text: str, address: str) -> None:
    host = profiles.parse_host(text)
    assert isinstance(host, x509.IPAddress)
    assert str(host.value) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:3000",
        "192.0.2.300",
        "192.0.2",
        "192.0.2.0/24",
        "https://example.org",
        "bücher.de",
        "-a.example",
        "a..b",
        "a b",
        "*",
        "a.*.org",
        "fe80::1%eth0",
        "[::1",
        "1::1]",
        "example.org\n",
        "a" * 64,
        "a." * 126 + "aa",
    ],
)
def test_what_is_neither_is_refused_by_name(text: str) -> None:
    with pytest.raises(CertificateError, match="neither a DNS name nor an IP address"):
        profiles.parse_host(text)
