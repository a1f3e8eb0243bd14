"""Who is at the other end of a connection.

Only the certificate that TLS has verified counts: never a header, never a field of a request. OpenSSL has checked the
chain, the dates and the revocation list; what it leaves open is checked here.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gproc.errors import Unauthenticated
from gproc.model import Identity, parse_identity

__all__ = ["identify", "read_certificate"]

_UTF8_STRING, _PRINTABLE_STRING = 0x0C, 0x13
_MAX_SHORT = 127
"""The longest text whose DER length is one byte."""


def read_certificate(der: bytes | None) -> x509.Certificate:
    """Return the certificate that a peer proved to have, or raise `Unauthenticated`."""
    if der is None:
        raise Unauthenticated("no client certificate: connect with --cert and --key")
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise Unauthenticated(f"client certificate: cannot be read: {error}") from None


def identify(certificate: x509.Certificate) -> Identity:
    """Return the owner named by *certificate*.

    Holds: the certificate is meant for clients, and its subject has exactly one common name, alone in its part of the
    name, as plain text that `parse_identity` accepts. Raises `Unauthenticated` otherwise.
    """
    try:
        _check_usage(certificate)
        return parse_identity(_common_name(certificate.subject))
    except (ValueError, UserWarning) as error:  # cryptography found something malformed in it
        raise Unauthenticated(f"client certificate: cannot be read: {error}") from None


def _check_usage(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise Unauthenticated(
            "client certificate: says nothing about its use; it must be made for clientAuth"
        ) from None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise Unauthenticated("client certificate: not made for clientAuth; use a client's certificate")


def _common_name(subject: x509.Name) -> str:
    parts = [part for part in subject.rdns if part.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(parts) != 1 or len(list(parts[0])) != 1:
        raise Unauthenticated("client certificate: its subject must have exactly one common name, on its own")
    value = next(iter(parts[0])).value
    if not isinstance(value, str) or not _is_plain(parts[0], value):
        raise Unauthenticated("client certificate: its common name must be a UTF8String or a PrintableString")
    return value


def _is_plain(part: x509.RelativeDistinguishedName, value: str) -> bool:
    """Whether *value* is encoded byte for byte, not in an old alphabet that others may read differently."""
    text = value.encode()
    if len(text) > _MAX_SHORT:
        return True  # much longer than a name may be: it will be refused for that
    endings = tuple(bytes((kind, len(text))) + text for kind in (_UTF8_STRING, _PRINTABLE_STRING))
    return x509.Name([part]).public_bytes().endswith(endings)
