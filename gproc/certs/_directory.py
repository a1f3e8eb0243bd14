"""The files of an authority: where each lies, and how it is read and written. The caller holds the lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gproc.certs import _profiles as profiles
from gproc.certs._files import PRIVATE, PUBLIC, add_file, read_file, replace_file, written_beside
from gproc.certs._profiles import Signer
from gproc.certs._register import Register
from gproc.errors import CertificateError
from gproc.model.secrecy import exposure

__all__ = ["AuthorityDirectory"]


@dataclass(frozen=True, slots=True)
class AuthorityDirectory:
    """The directory of one authority."""

    path: Path

    @property
    def certificate(self) -> Path:
        """Where the authority's own certificate lies; it is written last, so where it is, all is."""
        return self.path / "ca.crt"

    @property
    def key(self) -> Path:
        """Where the key lies that signs."""
        return self.path / "ca.key"

    @property
    def revocation_list(self) -> Path:
        """Where servers find what was revoked."""
        return self.path / "crl.pem"

    @property
    def register_file(self) -> Path:
        """Where the register lies."""
        return self.path / "issued.json"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return where the certificate and the key of *name* lie."""
        return self.path / f"{name}.crt", self.path / f"{name}.key"

    def make(self) -> None:
        """Make the directory, for its owner only, unless it is there."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CertificateError(f"{self.path}: cannot be made: {error.strerror}") from error

    @contextmanager
    def all_or_nothing(self) -> Iterator[list[Path]]:
        """Take away what was made of an authority that did not come to be, so that it can be made again.

        Yields the list of it, which has the files that may be written over; the caller adds what else it makes.
        """
        made = [self.register_file, self.revocation_list]
        try:
            yield made
        except BaseException:
            if not self.certificate.exists():
                for path in made:
                    path.unlink(missing_ok=True)
            raise

    def require(self) -> None:
        """Raise `CertificateError` unless there is an authority here."""
        if not self.certificate.exists():
            raise CertificateError(f"{self.path}: no authority here; `gproc certs init {self.path}` makes one")

    def load_certificate(self) -> x509.Certificate:
        """Return the authority's own certificate."""
        self.require()
        try:
            return x509.load_pem_x509_certificate(read_file(self.certificate))
        except ValueError as error:
            raise CertificateError(f"{self.certificate}: not a certificate; restore it from a backup") from error

    def load_signer(self) -> Signer:
        """Return the authority's certificate and key; raise if they are no pair, or others can read the key."""
        certificate = self.load_certificate()
        key = _load_key(self.key)
        if certificate.public_key() != key.public_key():
            raise CertificateError(f"{self.key}: not the key of {self.certificate}; restore both from one backup")
        return Signer(certificate, key)

    def load_register(self) -> Register:
        """Return the register as it is on disk."""
        if not self.register_file.exists():
            raise CertificateError(
                f"{self.register_file}: missing; restore it from a backup: without it nothing can be revoked"
            )
        try:
            return Register.from_json(read_file(self.register_file))
        except ValueError as error:
            raise CertificateError(f"{self.register_file}: {error}; restore it from a backup") from error

    def save_register(self, register: Register) -> None:
        """Write the register anew."""
        replace_file(self.register_file, register.to_json(), PUBLIC)

    def publish(self, signer: Signer, register: Register, *, now: datetime) -> Register:
        """Write a new revocation list from *register*; return the register that knows of it, which is on disk, too."""
        register = register.with_new_list(at=now - profiles.CLOCK_SKEW, now=now)
        self.save_register(register)
        replace_file(self.revocation_list, _sign_list(signer, register), PUBLIC)
        return register

    def is_published(self, signer: Signer, register: Register, *, now: datetime) -> bool:
        """Whether the revocation list is what *register* says, and is good from *now* on, as long as the authority."""
        try:
            published = x509.load_pem_x509_crl(self.revocation_list.read_bytes())
            number = published.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (OSError, ValueError, x509.ExtensionNotFound):
            return False
        ends_together = published.next_update_utc == signer.certificate.not_valid_after_utc
        return number == register.list_number and ends_together and published.last_update_utc <= now

    def add_authority_key(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Write the key of a new authority; raises `FileExistsError` if there is one."""
        add_file(self.key, _key_pem(key), PRIVATE)

    def add_authority_certificate(self, certificate: x509.Certificate) -> None:
        """Write the certificate of a new authority; raises `FileExistsError` if there is one."""
        add_file(self.certificate, _certificate_pem(certificate), PUBLIC)

    def replace_authority_certificate(self, certificate: x509.Certificate) -> None:
        """Write the certificate of a renewed authority."""
        replace_file(self.certificate, _certificate_pem(certificate), PUBLIC)

    def place_pair(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, *, replace: bool
    ) -> None:
        """Write the pair of *name*. Both files are on disk before either gets its name.

        Raises `FileExistsError` if one is there, unless *replace*. The names change one after the other: a server that
        reads in between finds a key that is not the certificate's, keeps what it has, and is right at its next reload.
        """
        crt_path, key_path = self.pair(name)
        with ExitStack() as stack:
            new_key = stack.enter_context(written_beside(key_path, _key_pem(key), PRIVATE))
            new_crt = stack.enter_context(written_beside(crt_path, _certificate_pem(certificate), PUBLIC))
            put = os.replace if replace else os.link
            put(new_key, key_path)
            put(new_crt, crt_path)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    content = read_file(path)
    if exposed := exposure(path, path.stat().st_mode):
        raise CertificateError(f"{path}: {exposed}, and ask who has read it")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{path}: not a private key; restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path}: not an elliptic-curve key, so not one of gproc's; restore it from a backup")
    return key


def _sign_list(signer: Signer, register: Register) -> bytes:
    last_update = register.list_updated_at
    assert last_update is not None, "with_new_list() sets it"  # noqa: S101
    signed = profiles.make_revocation_list(
        signer, register.revoked(), number=register.list_number, last_update=last_update
    )
    return signed.public_bytes(serialization.Encoding.PEM)


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
