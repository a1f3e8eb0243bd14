"""The register of an authority: what it issued, and what it took back. The truth that ``crl.pem`` is written from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

__all__ = ["CertificateKind", "Entry", "Register"]

_VERSION = 1


class CertificateKind(Enum):
    """What a certificate may be used for; the value is the word that people see."""

    CA = "ca"
    SERVER = "server"
    CLIENT = "client"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One certificate that was issued."""

    name: str
    kind: CertificateKind
    serial: int
    not_before: datetime
    not_after: datetime
    hosts: tuple[str, ...] = ()
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Every certificate of one authority, oldest first, and how far its revocation list has come."""

    entries: tuple[Entry, ...] = ()
    list_number: int = 0
    list_updated_at: datetime | None = None
    """None before the first list."""

    def with_entry(self, entry: Entry) -> Register:
        """Return the register after *entry* was issued."""
        return replace(self, entries=(*self.entries, entry))

    def with_revoked(self, name: str, *, at: datetime) -> Register:
        """Return the register after everything issued to *name* was taken back; what already was keeps its time."""
        entries = (
            replace(entry, revoked_at=at) if entry.name == name and entry.revoked_at is None else entry
            for entry in self.entries
        )
        return replace(self, entries=tuple(entries))

    def with_new_list(self, *, at: datetime, now: datetime) -> Register:
        """Return the register with its revocation list one further.

        The time of the list is *at*, or later if it must be to be later than that of the one before: OpenSSL keeps the
        old list in force when the new one is not later. But it is not later than *now*, as after many lists in a short
        time, or a clock that was wrong: with a list of the future, OpenSSL refuses every client.
        """
        at = at.replace(microsecond=0)
        if self.list_updated_at is not None and (later := self.list_updated_at + timedelta(seconds=1)) <= now:
            at = max(at, later)
        return replace(self, list_number=self.list_number + 1, list_updated_at=at)

    def issued_to(self, name: str) -> tuple[Entry, ...]:
        """Return all that was issued to *name*, oldest first."""
        return tuple(entry for entry in self.entries if entry.name == name)

    def revoked(self) -> Iterable[tuple[int, datetime]]:
        """Return the serial numbers that were taken back, and when."""
        return ((entry.serial, entry.revoked_at) for entry in self.entries if entry.revoked_at is not None)

    def to_json(self) -> bytes:
        """Return the register as it is kept on disk."""
        document = {
            "version": _VERSION,
            "list": {"number": self.list_number, "updated_at": _format(self.list_updated_at)},
            "issued": [_entry_to_document(entry) for entry in self.entries],
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> Register:
        """Return the register in *content*; raise `ValueError` if there is none, or one of a newer Gproc."""
        try:
            document = json.loads(content)
            if document["version"] != _VERSION:
                raise ValueError(f"its version is {document['version']}, and this gproc writes {_VERSION}")
            return cls(
                entries=tuple(_entry_from_document(entry) for entry in document["issued"]),
                list_number=int(document["list"]["number"]),
                list_updated_at=_parse(document["list"]["updated_at"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"damaged: {error!r}") from error


def _entry_to_document(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind.value,
        "serial": format(entry.serial, "x"),
        "not_before": _format(entry.not_before),
        "not_after": _format(entry.not_after),
        "hosts": list(entry.hosts),
        "revoked_at": _format(entry.revoked_at),
    }


def _entry_from_document(document: dict[str, Any]) -> Entry:
    return Entry(
        name=document["name"],
        kind=CertificateKind(document["kind"]),
        serial=int(document["serial"], 16),
        not_before=datetime.fromisoformat(document["not_before"]),
        not_after=datetime.fromisoformat(document["not_after"]),
        hosts=tuple(document["hosts"]),
        revoked_at=_parse(document["revoked_at"]),
    )


def _format(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()


def _parse(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
