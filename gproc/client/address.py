"""Where a server is: HOST:PORT."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gproc.errors import ConfigError

__all__ = ["Address", "parse_address"]

_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.%a-z]+)\](?::(\d+))?", re.ASCII)
_PLAIN = re.compile(r"([^\s:/\[\]]+)(?::(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A host, by name or number, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address written as ``localhost:3000``, ``192.0.2.7:3000`` or ``[::1]:3000``; raises `ConfigError`."""
    match = _BRACKETED.fullmatch(text.strip()) or _PLAIN.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"address {text!r}: not HOST:PORT; write localhost:3000, or [::1]:3000 for IPv6")
    host, port = match.group(1), match.group(2)
    if port is None:
        raise ConfigError(f"address {text!r}: the port is missing; write {text.strip()}:3000 if it is 3000")
    if not 1 <= int(port) <= 65_535:
        raise ConfigError(f"address {text!r}: {port} is not a port; ports are 1 to 65535")
    return Address(host, int(port))
