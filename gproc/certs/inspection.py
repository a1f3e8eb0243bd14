"""What a certificate says, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.certs._files import read_file
from gproc.certs._register import CertificateKind
from gproc.errors import CertificateError

__all__ = ["CertificateInfo", "inspect", "load_certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateInfo:
    """What people and programs want to know about a certificate."""

    path: Path
    kind: CertificateKind
    name: str
    """The common name if there is exactly one, else empty."""
    common_names: tuple[str, ...]
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    hosts: tuple[str, ...]
    """DNS names and IP addresses of the subject alternative name."""
    fingerprint: str
    """SHA-256 over the whole certificate, as ``openssl x509 -fingerprint -sha256`` prints it."""


def inspect(path: str | Path) -> CertificateInfo:
    """Return what the first certificate in the PEM file *path* says; raise `CertificateError` if there is none."""
    path = Path(path)
    certificate = load_certificate(path)
    common_names = _common_names(certificate.subject)
    return CertificateInfo(
        path=path,
        kind=kind_of(certificate),
        name=common_names[0] if len(common_names) == 1 else "",
        common_names=common_names,
        issuer=certificate.issuer.rfc4514_string(),
        serial=format(certificate.serial_number, "x"),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        hosts=_hosts(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate in the PEM file *path*; raise `CertificateError` if there is none."""
    try:
        return x509.load_pem_x509_certificate(read_file(path))
    except ValueError as error:
        raise CertificateError(f"{path}: not a certificate in PEM form; give the file that ends in .crt") from error


def kind_of(certificate: x509.Certificate) -> CertificateKind:
    """Return what *certificate* may be used for; one that may be used for several things is `OTHER`."""
    try:
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return CertificateKind.CA
    except x509.ExtensionNotFound:
        pass
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return CertificateKind.OTHER
    if usages == {ExtendedKeyUsageOID.SERVER_AUTH}:
        return CertificateKind.SERVER
    if usages == {ExtendedKeyUsageOID.CLIENT_AUTH}:
        return CertificateKind.CLIENT
    return CertificateKind.OTHER


def _common_names(name: x509.Name) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME))


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))
