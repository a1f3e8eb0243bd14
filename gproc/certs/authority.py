"""A certificate authority in a directory.

========================== ================================================================================
``ca.crt``, ``ca.key``     the authority; the key signs, and never leaves
``server.crt``, ``.key``   the server's
``NAME.crt``, ``.key``     a client's
``crl.pem``                what was revoked; always there and always valid, for ``serve --crl``
``issued.json``            the register: every certificate ever issued, so that each can be revoked
========================== ================================================================================

The register is written before a certificate is, so there is no certificate that could not be revoked. ``crl.pem`` is
written from the register; if a crash came between the two, the next command catches up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from secrets import token_hex
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gproc.certs import _profiles as profiles
from gproc.certs._directory import AuthorityDirectory
from gproc.certs._files import locked
from gproc.certs._profiles import Signer, Validity
from gproc.certs._register import CertificateKind, Entry, Register
from gproc.errors import CertificateError, Unauthenticated
from gproc.model import parse_identity

__all__ = ["Authority", "CertificateState", "IssuedCertificate"]

SERVER = "server"
_RESERVED = frozenset({"ca", SERVER, "crl"})
"""Names of files in the directory: a client of that name would have to share them."""

_Maker = Callable[[Signer, ec.EllipticCurvePublicKey], x509.Certificate]


class CertificateState(Enum):
    """Whether a certificate that was issued is good; the value is the word that people see."""

    VALID = "valid"
    REPLACED = "replaced"
    """Renewed, and still accepted until it expires or its name is revoked."""
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """A certificate that an authority issued, or its own."""

    name: str
    kind: CertificateKind
    serial: str
    not_before: datetime
    not_after: datetime
    hosts: tuple[str, ...]
    revoked_at: datetime | None
    state: CertificateState
    cert: Path
    """Where the current certificate of this name lies."""
    key: Path
    """Where its key lies."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A certificate that somebody wants."""

    name: str
    kind: CertificateKind
    hosts: tuple[str, ...]
    make: _Maker


class Authority:
    """The authority in one directory.

    Several may be open on one directory, in several processes: every operation locks the directory, reads it anew and
    leaves it whole. Every method raises `CertificateError`, and then no file was replaced.
    """

    def __init__(self, directory: str | Path) -> None:
        self._files = AuthorityDirectory(Path(directory))

    @property
    def directory(self) -> Path:
        """The directory."""
        return self._files.path

    @classmethod
    def create(cls, directory: str | Path, *, renew: bool = False, now: datetime | None = None) -> Self:
        """Make an authority in *directory*, and the directory if need be.

        With *renew*, the authority that is there gets a new certificate for the same key and name: what it issued
        stays good. Without, one that is there is left alone, and this raises.
        """
        authority = cls(directory)
        now = now or _clock()
        if renew:
            authority._files.require()
            with locked(authority.directory):
                authority._renew(now)
        else:
            authority._files.make()
            with locked(authority.directory):
                authority._refuse_a_second()
                authority._found(now)
        return authority

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """Return the authority in *directory*; raise if there is none."""
        authority = cls(directory)
        authority._files.require()
        return authority

    def issue_server(
        self, hosts: Iterable[str], *, renew: bool = False, now: datetime | None = None
    ) -> IssuedCertificate:
        """Issue the server's certificate, for the DNS names and IP addresses that clients call it by.

        Raises if there is one already, unless *renew*: then the new pair takes the place of the old. The old one stays
        good until it expires.
        """
        parsed = tuple(dict.fromkeys(profiles.parse_host(host) for host in hosts))
        if not parsed:
            raise CertificateError("a server certificate needs a host; give each name that clients call the server by")
        now = now or _clock()

        def make(signer: Signer, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
            return profiles.make_server(signer, key, parsed, _validity(signer, profiles.SERVER_LIFETIME, now))

        names = tuple(str(host.value) for host in parsed)
        return self._issue(_Order(SERVER, CertificateKind.SERVER, names, make), renew=renew, now=now)

    def issue_client(self, name: str, *, renew: bool = False, now: datetime | None = None) -> IssuedCertificate:
        """Issue the certificate of the client *name*, who will own the jobs started with it.

        Raises if *name* cannot be an owner, or was issued one already, unless *renew*: then the new pair takes the
        place of the old. The old one stays good until it expires or the name is revoked.
        """
        _check_client_name(name)
        now = now or _clock()

        def make(signer: Signer, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
            return profiles.make_client(signer, key, name, _validity(signer, profiles.CLIENT_LIFETIME, now))

        return self._issue(_Order(name, CertificateKind.CLIENT, (), make), renew=renew, now=now)

    def revoke(self, name: str, *, now: datetime | None = None) -> tuple[IssuedCertificate, ...]:
        """Take back every certificate ever issued to *name*, and publish that in ``crl.pem``.

        Returns them, newest first. A name that was revoked before stays revoked, and the list is published anew all the
        same. Raises if *name* was never issued a certificate.
        """
        now = now or _clock()
        self._files.require()
        with locked(self.directory):
            signer, register = self._signer(now), self._files.load_register()
            if not register.issued_to(name):
                raise CertificateError(
                    f"{name}: was never issued a certificate here; `gproc certs list {self.directory}` shows who was"
                )
            register = self._files.publish(signer, register.with_revoked(name, at=now), now=now)
        return self._described(register, name, now)

    def list(self, *, now: datetime | None = None) -> tuple[IssuedCertificate, ...]:
        """Return every certificate: the authority's own, then by name, and newest first for each name.

        Reads only: the key is not needed.
        """
        now = now or _clock()
        own = self._own(self._files.load_certificate(), now)
        register = self._files.load_register()
        names = sorted({entry.name for entry in register.entries})
        return (own, *(issued for name in names for issued in self._described(register, name, now)))

    def _refuse_a_second(self) -> None:
        files = self._files
        if files.certificate.exists():
            raise CertificateError(
                f"{self.directory}: there is an authority already; `gproc certs init {self.directory} --renew` "
                "renews its certificate and keeps its key"
            )
        for path in (files.key, files.register_file, files.revocation_list):
            if path.exists():
                raise CertificateError(
                    f"{path}: is there without {files.certificate}; restore that, or start over without it"
                )

    def _found(self, now: datetime) -> None:
        key = profiles.make_key()
        # Two authorities of one name would be taken for each other; chance tells them apart.
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Gproc authority {token_hex(4)}")])
        certificate = profiles.make_authority(key, subject, Validity.beginning(now, profiles.AUTHORITY_LIFETIME))
        with self._files.all_or_nothing() as made:
            self._files.publish(Signer(certificate, key), Register(), now=now)
            try:
                self._files.add_authority_key(key)
                made.append(self._files.key)
                self._files.add_authority_certificate(certificate)
            except FileExistsError as error:
                raise CertificateError(
                    f"{self.directory}: something else is writing here; end it and try again"
                ) from error

    def _renew(self, now: datetime) -> None:
        old, register = self._files.load_signer(), self._files.load_register()
        validity = Validity.beginning(now, profiles.AUTHORITY_LIFETIME)
        certificate = profiles.make_authority(old.key, old.certificate.subject, validity)
        self._files.replace_authority_certificate(certificate)
        # The list ends when the authority does, so it needs the new end.
        self._files.publish(Signer(certificate, old.key), register, now=now)

    def _issue(self, order: _Order, *, renew: bool, now: datetime) -> IssuedCertificate:
        self._files.require()
        with locked(self.directory):
            signer = self._signer(now)
            register = self._caught_up(signer, now)
            if not renew:
                self._refuse_a_second_pair(register, order.name)
            key = profiles.make_key()
            certificate = order.make(signer, key.public_key())
            register = register.with_entry(_entry(order.name, order.kind, certificate, order.hosts))
            self._files.save_register(register)
            try:
                self._files.place_pair(order.name, certificate, key, replace=renew)
            except FileExistsError as error:
                raise self._exists(order.name) from error
        return self._described(register, order.name, now)[0]

    def _signer(self, now: datetime) -> Signer:
        signer = self._files.load_signer()
        end = signer.certificate.not_valid_after_utc
        if end <= now:
            raise CertificateError(
                f"{self._files.certificate}: expired on {end:%Y-%m-%d}; "
                f"`gproc certs init {self.directory} --renew` renews it"
            )
        return signer

    def _caught_up(self, signer: Signer, now: datetime) -> Register:
        """Return the register, once ``crl.pem`` is what it says."""
        register = self._files.load_register()
        if self._files.is_published(signer, register, now=now):
            return register
        return self._files.publish(signer, register, now=now)

    def _refuse_a_second_pair(self, register: Register, name: str) -> None:
        # The register knows of pairs that were moved to the machines that use them.
        if register.issued_to(name) or any(path.exists() for path in self._files.pair(name)):
            raise self._exists(name)

    def _exists(self, name: str) -> CertificateError:
        return CertificateError(f"{self._files.pair(name)[0]}: issued already; use --renew to replace it")

    def _described(self, register: Register, name: str, now: datetime) -> tuple[IssuedCertificate, ...]:
        cert, key = self._files.pair(name)
        newest_first = register.issued_to(name)[::-1]
        return tuple(
            IssuedCertificate(
                name=entry.name,
                kind=entry.kind,
                serial=format(entry.serial, "x"),
                not_before=entry.not_before,
                not_after=entry.not_after,
                hosts=entry.hosts,
                revoked_at=entry.revoked_at,
                state=_state(entry, is_newest=index == 0, now=now),
                cert=cert,
                key=key,
            )
            for index, entry in enumerate(newest_first)
        )

    def _own(self, certificate: x509.Certificate, now: datetime) -> IssuedCertificate:
        entry = _entry("ca", CertificateKind.CA, certificate, ())
        return self._described(Register(entries=(entry,)), "ca", now)[0]


def _clock() -> datetime:
    return datetime.now(UTC)


def _validity(signer: Signer, lifetime: timedelta, now: datetime) -> Validity:
    return Validity.beginning(now, lifetime, at_most=signer.certificate.not_valid_after_utc)


def _check_client_name(name: str) -> None:
    try:
        parse_identity(name)
    except Unauthenticated as error:
        raise CertificateError(str(error)) from error
    if name.lower() in _RESERVED:
        raise CertificateError(f"{name}: is the name of the authority's own files; give the client another")


def _entry(name: str, kind: CertificateKind, certificate: x509.Certificate, hosts: tuple[str, ...]) -> Entry:
    return Entry(
        name=name,
        kind=kind,
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        hosts=hosts,
    )


def _state(entry: Entry, *, is_newest: bool, now: datetime) -> CertificateState:
    if entry.revoked_at is not None:
        return CertificateState.REVOKED
    if entry.not_after <= now:
        return CertificateState.EXPIRED
    return CertificateState.VALID if is_newest else CertificateState.REPLACED
