from __future__ import annotations

import errno
import socket
import ssl

import pytest
from grpclib.exceptions import StreamTerminatedError

from gproc.errors import CertificateRefused, DeadlineExceeded, JobFinished, Unavailable
from gproc.wire import connection_error


def tls(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] something")
    error.reason = reason  # type: ignore[assignment]  # OpenSSL does not name every one
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nobody listens there; start `gproc serve`"),
        (socket.gaierror(-2, "Name or service not known"), r"no such host \(Name or service not known\)"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "broke .Connection reset by peer."),
        (StreamTerminatedError("Connection lost"), r"broke \(Connection lost\); try again"),
        (EOFError(), "broke .EOFError."),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), r"cannot be reached \(Network is unreachable\)"),
        (OSError("odd"), r"cannot be reached \(odd\)"),
        (tls(None), r"does not speak TLS as Gproc does \(\[SSL: None\] something\)"),
        (tls("WRONG_VERSION_NUMBER"), r"does not speak TLS as Gproc does \(wrong version number\)"),
        (tls("TLSV1_ALERT_PROTOCOL_VERSION"), r"ended the TLS connection \(protocol version\)"),
        (RuntimeError("odd"), r"failed \(RuntimeError: odd\)"),
    ],
)
def test_a_connection_that_fails_is_told_with_address_and_reason(error: Exception, text: str) -> None:
    told = connection_error(error, "host:1")
    assert type(told) is Unavailable
    with pytest.raises(Unavailable, match=f"^host:1: .*{text}"):
        raise told


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown authority"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "certificate revoked"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "certificate expired"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "bad certificate"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate required"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "unsupported certificate"),
    ],
)
def test_an_alert_about_the_certificate_is_a_refusal(reason: str, words: str) -> None:
    told = connection_error(tls(reason), "host:1")
    assert isinstance(told, CertificateRefused)
    assert str(told).startswith(f"host:1: the server refused this certificate ({words}); check --cert and --key")


def test_a_server_whose_certificate_is_not_accepted_is_told() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "self-signed certificate in certificate chain"
    told = connection_error(error, "host:1")
    assert isinstance(told, CertificateRefused)
    assert str(told).startswith(
        "host:1: its certificate is not accepted (self-signed certificate in certificate chain)"
    )


def test_time_that_is_over_is_not_a_broken_connection() -> None:
    assert isinstance(connection_error(TimeoutError(), "host:1"), DeadlineExceeded)


def test_an_error_of_ours_stays_what_it_is() -> None:
    error = JobFinished("it is over")
    assert connection_error(error, "host:1") is error
