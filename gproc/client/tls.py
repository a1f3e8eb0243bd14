"""The client's half of mutual TLS: which server it believes, and how it proves who it is."""

from __future__ import annotations

import ssl
from pathlib import Path

from gproc.errors import ConfigError
from gproc.model.secrecy import exposure

__all__ = ["client_context"]

_WHAT = {
    "cacert": "the certificate of the authority, as ca.crt",
    "cert": "your certificate, as alice.crt",
    "key": "the key of your certificate, as alice.key",
}
_PAIR = f"{_WHAT['cert']}, and {_WHAT['key']}"


def client_context(*, cacert: str | Path, cert: str | Path, key: str | Path) -> ssl.SSLContext:
    """Return a context that speaks TLS 1.3 only, believes *cacert* only, and shows *cert*.

    Raises `ConfigError`, naming the file, if one cannot be read or used, or if others can read the key.
    """
    for setting, path in (("cacert", cacert), ("cert", cert), ("key", key)):
        _check_readable(setting, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["h2"])
    _load_authority(context, Path(cacert))
    _load_identity(context, Path(cert), Path(key))
    _check_private(Path(key))  # last: who gave another file is to hear that, not how to hide it
    return context


def _check_readable(setting: str, path: str | Path) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{setting} {path}: {error.strerror}; give {_WHAT[setting]}") from None
    except (TypeError, ValueError):  # an environment without the variable, say
        raise ConfigError(f"{setting} {path!r:.100}: not the name of a file; give {_WHAT[setting]}") from None


def _check_private(key: Path) -> None:
    if exposed := exposure(key, key.stat().st_mode):
        raise ConfigError(f"key {key}: {exposed}")


def _load_authority(context: ssl.SSLContext, cacert: Path) -> None:
    try:
        context.load_verify_locations(cafile=cacert)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"cacert {cacert}: not a certificate ({_reason(error)}); give {_WHAT['cacert']}") from None


def _load_identity(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"key {key}: not the key of {cert}; give the two that were issued together") from None
        raise ConfigError(f"cert {cert}, key {key}: cannot be used ({_reason(error)}); give {_PAIR}") from None
    except _EncryptedError:
        raise ConfigError(
            f"key {key}: encrypted with a password; write it without one: `openssl pkey -in {key} -out NEW`"
        ) from None


class _EncryptedError(Exception):
    """The key wants a password, and there is nobody to ask."""


def _no_password() -> str:
    raise _EncryptedError


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    if reason:
        return str(reason).lower().replace("_", " ")
    return "not in PEM" if isinstance(error, ssl.SSLError) else (error.strerror or "unreadable")
