"""What it means when a connection cannot be made, or breaks: one sentence that says which, why, and what now."""

from __future__ import annotations

import re
import socket
import ssl

from grpclib.exceptions import StreamTerminatedError

from gproc.errors import CertificateRefused, DeadlineExceeded, GprocError, Unavailable

__all__ = ["connection_error"]

_ALERT = re.compile(r"\b(?:SSLV3|TLSV1|TLSV13)_ALERT_([A-Z_]+)")
_ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR", "HANDSHAKE_FAILURE")


def connection_error(error: BaseException, address: str) -> GprocError:  # noqa: PLR0911 -- one cause, one line
    """Return what *error*, raised while speaking with *address*, means to the user."""
    match error:
        case GprocError():
            return error
        case ssl.SSLCertVerificationError():
            return CertificateRefused(
                f"{address}: its certificate is not accepted ({error.verify_message}); "
                "check the address and that --cacert is the authority that issued it"
            )
        case ssl.SSLError():
            return _tls_error(error, address)
        case socket.gaierror():
            return Unavailable(f"{address}: no such host ({error.strerror}); check --addr")
        case ConnectionRefusedError():
            return Unavailable(f"{address}: nobody listens there; start `gproc serve`, or check --addr")
        case StreamTerminatedError() | ConnectionError() | EOFError():
            return Unavailable(f"{address}: the connection broke ({_words(error)}); try again")
        case TimeoutError():
            return DeadlineExceeded(f"{address}: no answer in time; try again, or allow more time")
        case OSError():
            return Unavailable(f"{address}: cannot be reached ({_words(error)}); check --addr and the network")
        case _:
            return Unavailable(f"{address}: the connection failed ({type(error).__name__}: {error}); try again")


def _tls_error(error: ssl.SSLError, address: str) -> GprocError:
    alert = _ALERT.search(error.reason or "")
    if alert is None:
        return Unavailable(f"{address}: does not speak TLS as Gproc does ({_words(error)}); check --addr")
    name = alert.group(1)
    words = name.lower().replace("_", " ").replace(" ca", " authority")
    if any(word in name for word in _ABOUT_CERTIFICATES):
        return CertificateRefused(
            f"{address}: the server refused this certificate ({words}); "
            "check --cert and --key, or ask for a new certificate"
        )
    return Unavailable(f"{address}: the server ended the TLS connection ({words}); check --addr")


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
