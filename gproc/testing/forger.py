"""Certificates that nobody should accept, and lists of revoked ones: to test what a server does with them.

A `Forger` is an authority that signs whatever it is told to, with the cryptography that real ones are made of.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.testing.authority import Files

__all__ = ["CLIENT", "SERVER", "Forger", "Signer", "subject"]

CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
_DAY = timedelta(days=1)

Period = tuple[datetime, datetime]
"""When something is valid: from, to."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def subject(*common_names: str) -> x509.Name:
    """Return a subject with these common names, each in a part of its own."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])


class Forger:
    """An authority called *name* that writes to *directory*."""

    def __init__(self, directory: Path, name: str = "Forger", *, path_length: int | None = 0) -> None:
        self.directory = directory
        self._numbers = itertools.count(1)
        self.root = _sign(subject(name), None, usage=None, path_length=path_length, authority=True, period=_today())
        self.cacert = self._write("ca.crt", self.root.certificate.public_bytes(Encoding.PEM))

    def client(
        self,
        who: str | x509.Name = "alice",
        *,
        usage: Sequence[x509.ObjectIdentifier] | None = CLIENT,
        period: Period | None = None,
        signer: Signer | None = None,
        hosts: Sequence[str] = ("client.gproc.invalid",),
        bare: bool = False,
    ) -> Files:
        """Return the files of a client; *usage* None: no such extension; *signer* signs for the authority.

        A *bare* certificate has no key identifiers.
        """
        signed = self.sign(who, usage=usage, period=period, signer=signer, hosts=hosts, bare=bare)
        chain = [signed.certificate] if signer in (None, self.root) else [signed.certificate, signer.certificate]
        return self.write(signed, chain)

    def server(self, *, period: Period | None = None) -> Files:
        """Return the files of a server on localhost."""
        return self.client(subject(), usage=SERVER, period=period, hosts=("localhost",))

    def sign(
        self,
        who: str | x509.Name,
        *,
        usage: Sequence[x509.ObjectIdentifier] | None = CLIENT,
        period: Period | None = None,
        signer: Signer | None = None,
        hosts: Sequence[str] = ("client.gproc.invalid",),
        authority: bool = False,
        bare: bool = False,
    ) -> Signer:
        """Return a certificate with its key, as told."""
        name = subject(who) if isinstance(who, str) else who
        return _sign(
            name,
            signer or self.root,
            usage=usage,
            path_length=0 if authority else None,
            authority=authority,
            period=period or _today(),
            hosts=hosts,
            bare=bare,
        )

    def revoked(self, *files: Files, signer: Signer | None = None, period: Period | None = None) -> Path:
        """Return a list that revokes the certificates in *files*."""
        by = signer or self.root
        begin, end = period or _today()
        builder = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject)
        builder = builder.last_update(begin).next_update(end)
        builder = builder.add_extension(x509.CRLNumber(next(self._numbers)), critical=False)
        builder = builder.add_extension(_authority_key(by), critical=False)
        for each in files:
            serial = x509.load_pem_x509_certificate(each.cert.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begin)
            builder = builder.add_revoked_certificate(entry.build())
        return self._write(
            f"{next(self._numbers)}.crl", builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )

    def write(self, signed: Signer, chain: Sequence[x509.Certificate]) -> Files:
        """Return files with the key of *signed* and the certificates of *chain*."""
        number = next(self._numbers)
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in chain)
        key = signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Files(self.cacert, self._write(f"{number}.crt", pem), self._write(f"{number}.key", key))

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return path


def _today() -> Period:
    now = datetime.now(UTC)
    return now - _DAY, now + _DAY


def _sign(
    name: x509.Name,
    signer: Signer | None,
    *,
    usage: Sequence[x509.ObjectIdentifier] | None,
    path_length: int | None,
    authority: bool,
    period: Period,
    hosts: Sequence[str] = (),
    bare: bool = False,
) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    builder = (
        x509.CertificateBuilder(issuer_name=signer.certificate.subject if signer else name, subject_name=name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(_key_usage(authority=authority), critical=True)
    )
    if not bare:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    if signer is not None and not bare:
        builder = builder.add_extension(_authority_key(signer), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    if hosts and not authority:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=not name.rdns)
    return Signer(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def _authority_key(signer: Signer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
