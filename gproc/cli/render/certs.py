"""Certificates as a table, as plain text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gproc.cli.render.escape import visible
from gproc.model.document import format_time

if TYPE_CHECKING:
    from rich.table import Table

    from gproc.certs import IssuedCertificate

__all__ = ["certificate_document", "certificate_table", "plain_certificates"]

_HEADINGS = ("NAME", "KIND", "STATE", "EXPIRES", "HOSTS", "SERIAL")
_STYLES = {"valid": "green", "replaced": "yellow", "revoked": "red", "expired": "red"}
_SOON_DAYS = 30
_SOME_NAME = 20
_BESIDE_A_NAME = 57


def certificate_document(certificate: IssuedCertificate) -> dict[str, Any]:
    """Return the certificate as it is in JSON; what is absent is left out."""
    document: dict[str, Any] = {
        "name": certificate.name,
        "kind": certificate.kind.value,
        "state": certificate.state.value,
        "serial": certificate.serial,
        "not_before": format_time(certificate.not_before),
        "not_after": format_time(certificate.not_after),
        "hosts": list(certificate.hosts),
        "revoked_at": None if certificate.revoked_at is None else format_time(certificate.revoked_at),
    }
    return {key: value for key, value in document.items() if value not in (None, [])}


def _row(certificate: IssuedCertificate, now: datetime) -> tuple[str, ...]:
    left = certificate.not_after - now
    expires = f"{certificate.not_after:%Y-%m-%d}" + (f" (in {left.days} days)" if left.days >= 0 else "")
    return (
        visible(certificate.name),
        certificate.kind.value,
        certificate.state.value,
        expires,
        ", ".join(visible(host) for host in certificate.hosts) or "-",
        certificate.serial,
    )


def certificate_table(certificates: Sequence[IssuedCertificate], *, now: datetime, width: int = 80) -> Table:
    """Return the certificates as a table for a terminal; what expires within a month is yellow.

    Names are whole, unless *width* cells would not leave room for the state of all others beside them.
    """
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold bright_black", pad_edge=False, padding=(0, 2, 0, 0))
    longest = max([len("name"), *(cell_len(visible(certificate.name)) for certificate in certificates)])
    longest = min(longest, max(_SOME_NAME, width - _BESIDE_A_NAME))
    for heading in _HEADINGS[:-1]:
        # Where there is little room, the others give way first: without its name, a row says nothing.
        name_width = longest if heading == "NAME" else None
        table.add_column(heading.lower(), no_wrap=heading != "HOSTS", min_width=name_width, max_width=name_width)
    for certificate in certificates:
        name, kind, state, expires, hosts, _ = _row(certificate, now)
        soon = "yellow" if (certificate.not_after - now).days < _SOON_DAYS else ""
        table.add_row(
            Text(name, style="bold"), kind, Text(state, style=_STYLES.get(state, "")), Text(expires, style=soon), hosts
        )
    return table


def plain_certificates(certificates: Sequence[IssuedCertificate], *, now: datetime) -> str:
    """Return the certificates as aligned text for a pipe."""
    rows = [_HEADINGS, *(_row(certificate, now) for certificate in certificates)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )
