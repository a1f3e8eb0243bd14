from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.text import Text

from gproc.certs import CertificateKind, CertificateState, IssuedCertificate
from gproc.cli.render.certs import certificate_document, certificate_table

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def certificate(
    left: timedelta, *, hosts: tuple[str, ...] = (), revoked_at: datetime | None = None
) -> IssuedCertificate:
    return IssuedCertificate(
        name="alice",
        kind=CertificateKind.CLIENT,
        serial="1f",
        not_before=NOW - timedelta(days=1),
        not_after=NOW + left,
        hosts=hosts,
        revoked_at=revoked_at,
        state=CertificateState.VALID if revoked_at is None else CertificateState.REVOKED,
        cert=Path("pki/alice.crt"),
        key=Path("pki/alice.key"),
    )


@pytest.mark.parametrize(
    ("left", "text", "style"),
    [
        (timedelta(days=30), "2026-07-31 (in 30 days)", ""),
        (timedelta(days=29, hours=23), "2026-07-31 (in 29 days)", "yellow"),
        (timedelta(hours=11), "2026-07-01 (in 0 days)", "yellow"),
        (timedelta(hours=-13), "2026-06-30", "yellow"),
    ],
)
def test_what_expires_within_a_month_is_yellow(left: timedelta, text: str, style: str) -> None:
    table = certificate_table([certificate(left)], now=NOW)
    (cell,) = table.columns[3].cells
    assert cell == Text(text)
    assert isinstance(cell, Text)
    assert cell.style == style


def test_what_is_absent_is_left_out_of_the_document_of_a_certificate() -> None:
    document = {
        "name": "alice",
        "kind": "client",
        "state": "valid",
        "serial": "1f",
        "not_before": "2026-06-30T12:00:00.000000Z",
        "not_after": "2026-07-02T12:00:00.000000Z",
    }
    assert certificate_document(certificate(timedelta(days=1))) == document
    assert certificate_document(certificate(timedelta(days=1), hosts=("a", "b"), revoked_at=NOW)) == document | {
        "state": "revoked",
        "hosts": ["a", "b"],
        "revoked_at": "2026-07-01T12:00:00.000000Z",
    }
