"""A throwaway certificate authority, for tests and demonstrations only.

Real certificates are made with ``gproc certs``: trustme's are good for clients and servers alike.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gproc.errors import ConfigError
from gproc.model import Identity, parse_identity

try:
    import trustme
except ModuleNotFoundError:
    raise ConfigError("gproc.testing needs trustme; `pip install 'gproc[testing]'`") from None

__all__ = ["Authority", "Files"]

_LIFETIME = timedelta(days=1)
_CLIENT_HOST = "client.gproc.invalid"
"""Strict verification refuses a certificate whose list of alternative names is empty, and no host has this name."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that one side proves itself with; the key is readable by its owner only."""

    cacert: Path
    cert: Path
    key: Path


class Authority:
    """Signs certificates and writes them to *directory*, which must exist; they end after a day."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cacert = directory / "ca.crt"
        self._trustme = trustme.CA(path_length=0)
        self._issued: dict[str, Files] = {}
        _write(self.cacert, self._trustme.cert_pem.bytes())

    def server(self, *hosts: str) -> Files:
        """Return the files of a server that is reached as one of *hosts*; localhost if there are none."""
        names = hosts or ("localhost", "127.0.0.1", "::1")
        return self._issue(f"server-{'-'.join(names)}".replace(":", "_"), names, None)

    def client(self, name: Identity) -> Files:
        """Return the files of the client *name*; made when they are first asked for."""
        return self._issue(f"client-{parse_identity(name)}", (_CLIENT_HOST,), name)

    def _issue(self, stem: str, hosts: tuple[str, ...], common_name: str | None) -> Files:
        if stem not in self._issued:
            ends = datetime.now() + _LIFETIME  # noqa: DTZ005 - trustme takes naive times
            leaf = self._trustme.issue_cert(*hosts, common_name=common_name, not_after=ends)
            files = Files(self.cacert, self.directory / f"{stem}.crt", self.directory / f"{stem}.key")
            _write(files.cert, b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
            _write(files.key, leaf.private_key_pem.bytes())
            self._issued[stem] = files
        return self._issued[stem]


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
