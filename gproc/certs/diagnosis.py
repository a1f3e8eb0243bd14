"""What is wrong with an authority's certificate, a certificate and a key that are used together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from gproc.certs._files import read_file
from gproc.certs._register import CertificateKind
from gproc.certs.inspection import CertificateInfo, inspect, load_certificate
from gproc.errors import CertificateError, Unauthenticated
from gproc.model import parse_identity
from gproc.model.secrecy import exposure

__all__ = ["diagnose"]


def diagnose(
    *,
    cacert: str | Path | None,
    cert: str | Path,
    key: str | Path,
    kind: CertificateKind = CertificateKind.CLIENT,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Return what keeps the three files from working together, a sentence each; nothing if all is well.

    Without *cacert*, it does not matter who issued the certificate. *kind* says whose they are:
    `CertificateKind.CLIENT` or `CertificateKind.SERVER`. Never raises for what is in the files.
    """
    now = now or datetime.now(UTC)
    problems: list[str] = []
    if cacert is not None:
        problems += _told(_dates(Path(cacert), now))
        problems += _told(_signature(Path(cacert), Path(cert)))
    problems += _told(_dates(Path(cert), now))
    problems += _told(_purpose(Path(cert), kind))
    problems += _told(_key(Path(cert), Path(key)))
    # A file that cannot be read is told once, not by every check that needs it.
    return tuple(dict.fromkeys(problems))


def _told(check: Iterator[str]) -> Iterator[str]:
    try:
        yield from check
    except CertificateError as error:
        yield str(error)


def _dates(path: Path, now: datetime) -> Iterator[str]:
    info = inspect(path)
    if now < info.not_before:
        yield f"{path}: not valid before {info.not_before:%Y-%m-%d %H:%M} UTC; is the clock of this machine right?"
    if now >= info.not_after:
        yield f"{path}: expired on {info.not_after:%Y-%m-%d}; renew it with `gproc certs … --renew`"


def _signature(cacert: Path, cert: Path) -> Iterator[str]:
    authority, certificate = load_certificate(cacert), load_certificate(cert)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        yield f"{cert}: not issued by the authority of {cacert}; use the ca.crt that it was made with"


def _purpose(cert: Path, kind: CertificateKind) -> Iterator[str]:
    wanted = ExtendedKeyUsageOID.CLIENT_AUTH if kind is CertificateKind.CLIENT else ExtendedKeyUsageOID.SERVER_AUTH
    usages = _usages(load_certificate(cert))
    if usages is None and kind is CertificateKind.SERVER:
        return  # one that does not say what it is for is good enough for clients
    if wanted not in (usages or ()):
        yield f"{cert}: not a {kind.value} certificate; `gproc certs {kind.value}` makes one"
    elif kind is CertificateKind.CLIENT:
        yield from _identity(inspect(cert))


def _identity(info: CertificateInfo) -> Iterator[str]:
    if len(info.common_names) != 1:
        yield f"{info.path}: has {len(info.common_names)} common names, and needs exactly one to own jobs"
        return
    try:
        parse_identity(info.name)
    except Unauthenticated as error:
        yield f"{info.path}: {error}"


def _key(cert: Path, key: Path) -> Iterator[str]:
    content = read_file(key)
    try:
        private = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        yield f"{key}: not an unencrypted private key in PEM form; give the file that ends in .key"
        return  # who can read it matters once it is a key
    if exposed := exposure(key, key.stat().st_mode):
        yield f"{key}: {exposed}"
    if private.public_key() != load_certificate(cert).public_key():
        yield f"{key}: not the key of {cert}; give the pair that was made together"


def _usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier] | None:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None
