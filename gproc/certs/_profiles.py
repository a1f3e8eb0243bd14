"""What Gproc's certificates say: which extensions, how long, signed with what.

ECDSA P-256 with SHA-256 throughout. Every certificate has the extensions that OpenSSL's strict mode asks for: subject
and authority key identifiers, and critical basic constraints and key usage. Times are given by the caller.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.errors import CertificateError

__all__ = [
    "AUTHORITY_LIFETIME",
    "CLIENT_LIFETIME",
    "SERVER_LIFETIME",
    "Signer",
    "Validity",
    "make_authority",
    "make_client",
    "make_key",
    "make_revocation_list",
    "make_server",
    "parse_host",
]

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=825)
CLIENT_LIFETIME = timedelta(days=365)
CLOCK_SKEW = timedelta(minutes=5)
"""Certificates begin this much in the past, so that a machine whose clock is late accepts them at once."""

Host = x509.DNSName | x509.IPAddress

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*{_LABEL}")
_LONGEST_DNS_NAME = 253
_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Signer:
    """The authority's certificate and the key that signs in its name."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate is good; whole seconds, as certificates hold no more."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def beginning(cls, now: datetime, lifetime: timedelta, *, at_most: datetime | None = None) -> Validity:
        """Return the validity of something made *now*, not outliving *at_most*."""
        start = now.replace(microsecond=0)
        end = start + lifetime
        return cls(start - CLOCK_SKEW, end if at_most is None else min(end, at_most))


def make_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(key: ec.EllipticCurvePrivateKey, subject: x509.Name, validity: Validity) -> x509.Certificate:
    """Return a self-signed authority that may sign leaves and revocation lists, and nothing below another authority."""
    return (
        _builder(subject, subject, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def make_server(
    signer: Signer, key: ec.EllipticCurvePublicKey, hosts: Sequence[Host], validity: Validity
) -> x509.Certificate:
    """Return a certificate with which a server proves that it is one of *hosts*."""
    first = str(hosts[0].value)
    common_name = first if len(first) <= _LONGEST_COMMON_NAME else "gproc server"
    return _leaf(
        signer,
        key,
        common_name,
        validity,
        (
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(hosts), False),
        ),
    )


def make_client(signer: Signer, key: ec.EllipticCurvePublicKey, name: str, validity: Validity) -> x509.Certificate:
    """Return a certificate with which a client proves that it is *name*; it cannot be used by a server."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return _leaf(signer, key, name, validity, ((usage, False),))


def make_revocation_list(
    signer: Signer, revoked: Iterable[tuple[int, datetime]], *, number: int, last_update: datetime
) -> x509.CertificateRevocationList:
    """Return the signed list of *revoked* serial numbers.

    It is good for as long as the authority is: OpenSSL refuses every client when a list is out of date, and the list
    lies beside the server, where nobody can hold back a newer one.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.certificate.subject)
        .last_update(last_update)
        .next_update(signer.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
    )
    for serial, at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(signer.key, hashes.SHA256())


def parse_host(text: str) -> Host:
    """Return the host in *text*, a DNS name or an IP address, as a certificate holds it; raise `CertificateError`."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    with suppress(ValueError):
        # A certificate has no place for the zone in fe80::1%eth0.
        return x509.IPAddress(ipaddress.ip_address(bare.replace("%", "/")))
    # A name whose last label is a number is an address with a mistake in it.
    is_name = len(text) <= _LONGEST_DNS_NAME and _DNS_NAME.fullmatch(text) and not text.rpartition(".")[2].isdecimal()
    if not is_name:
        raise CertificateError(
            f"host {text!r}: neither a DNS name nor an IP address; give it as clients will, without a port, "
            "as build.example.org or 192.0.2.7"
        )
    return x509.DNSName(text.lower())


def _leaf(
    signer: Signer,
    key: ec.EllipticCurvePublicKey,
    common_name: str,
    validity: Validity,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    issuer_key = signer.key.public_key()
    builder = (
        _builder(subject, signer.certificate.subject, key, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
