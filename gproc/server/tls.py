"""What the server's end of TLS demands, and which certificates it still stands by.

TLS 1.3 only; a client certificate from the one authority, checked strictly; no session tickets, because a resumed
session would outlive a revocation. New files mean a new context: OpenSSL keeps what it once read.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from gproc.certs import CertificateKind, diagnose
from gproc.errors import ConfigError

__all__ = ["Tls", "TlsFiles", "load_tls", "why_expired", "why_refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files that the server proves itself and knows its clients with."""

    cacert: Path
    cert: Path
    key: Path
    crl: Path | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """The files, read and found good."""

    context: ssl.SSLContext
    authority: x509.Certificate
    certificate: x509.Certificate
    crl: x509.CertificateRevocationList | None
    doubts: tuple[str, ...]
    """What works and was probably not meant, a sentence each."""


def load_tls(files: TlsFiles, *, now: datetime | None = None) -> Tls:
    """Return what *files* hold; raise `ConfigError`, naming the file, if they cannot be used."""
    try:
        return _load(files, now or datetime.now(UTC))
    except (ValueError, TypeError, OSError, UnsupportedAlgorithm) as error:
        # Certificates are read piece by piece, so damage may be found anywhere.
        every = ", ".join(str(path) for path in (files.cacert, files.cert, files.key, files.crl) if path is not None)
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{why}: a certificate, key or list is damaged or not supported, one of {every}") from error


def _load(files: TlsFiles, moment: datetime) -> Tls:
    # Who issued our own certificate is for the clients to judge: --cacert is theirs, so it is a doubt at most.
    for problem in diagnose(cacert=None, cert=files.cert, key=files.key, kind=CertificateKind.SERVER, now=moment):
        raise ConfigError(problem)
    authority = _one_certificate(files.cacert, "authority")
    chain = _certificates(files.cert)
    _check_dates(files.cacert, authority, moment)
    crl = None if files.crl is None else _revocations(files.crl, authority, moment)
    return Tls(_context(files), authority, chain[0], crl, tuple(_doubts(files, authority, chain, crl)))


def why_refused(tls: Tls, certificate: x509.Certificate, now: datetime) -> str | None:
    """Return why a client that got in with *certificate* would be refused by *tls* now; None if it would not be."""
    if not _is_issued_by(tls.authority, certificate):
        return "issued by another authority"
    if _is_revoked(tls.crl, certificate):
        return "revoked"
    return why_expired(certificate, now=now)


def why_expired(certificate: x509.Certificate, *, now: datetime) -> str | None:
    """Return "expired" if *certificate* has expired by *now*, else None."""
    return "expired" if certificate.not_valid_after_utc <= now else None


def _doubts(
    files: TlsFiles,
    authority: x509.Certificate,
    chain: list[x509.Certificate],
    crl: x509.CertificateRevocationList | None,
) -> Iterator[str]:
    """Yield what is probably not meant: why clients may refuse this server, and whom it does not refuse."""
    if not any(_is_issued_by(authority, each) for each in chain):
        yield (
            f"{files.cert}: not issued by the authority of {files.cacert}; "
            "clients that use that file as their --cacert will refuse this server"
        )
    elif _is_revoked(crl, chain[0]):
        yield f"{files.cert}: revoked by {files.crl}; make another with `gproc certs server … --renew`"
    beside = files.cacert.with_name("crl.pem")
    if files.crl is None and beside.exists():
        yield f"{beside}: not in use, so who is revoked still gets in; add --crl {beside}"


def _is_issued_by(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_revoked(crl: x509.CertificateRevocationList | None, certificate: x509.Certificate) -> bool:
    return crl is not None and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.num_tickets = 0
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(files.cert, files.key, password=lambda: _no_password(files.key))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{files.key}: not the key of {files.cert} ({_reason(error)})") from None
    context.load_verify_locations(files.cacert)
    if files.crl is not None:
        context.load_verify_locations(files.crl)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


def _no_password(key: Path) -> str:
    raise ConfigError(f"{key}: is encrypted; the server needs a key without a password, readable only by its user")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise ConfigError(f"{path}: holds no certificate in PEM form") from None


def _one_certificate(path: Path, what: str) -> x509.Certificate:
    found = _certificates(path)
    if len(found) != 1:
        raise ConfigError(f"{path}: holds {len(found)} certificates; it must hold exactly one {what}")
    return found[0]


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise ConfigError(
            f"{path}: expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it (`gproc certs`)"
        )
    if certificate.not_valid_before_utc > now:
        raise ConfigError(
            f"{path}: valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; check the clock"
        )


def _revocations(path: Path, authority: x509.Certificate, now: datetime) -> x509.CertificateRevocationList:
    try:
        crl = x509.load_pem_x509_crl(_read(path))
        is_ours = crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # other kinds raise TypeError
    except (ValueError, TypeError):
        raise ConfigError(f"{path}: holds no revocation list in PEM form") from None
    if not is_ours or crl.issuer != authority.subject:
        raise ConfigError(f"{path}: not signed by the authority of --cacert; nobody could connect")
    if crl.next_update_utc is not None and crl.next_update_utc <= now:
        raise ConfigError(
            f"{path}: ended on {crl.next_update_utc:%Y-%m-%d %H:%M} UTC, nobody could connect; make a new one"
        )
    if crl.last_update_utc > now:
        raise ConfigError(
            f"{path}: valid only from {crl.last_update_utc:%Y-%m-%d %H:%M} UTC, nobody could connect; check the clock"
        )
    return crl


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error) or type(error).__name__
