"""Where a server is: HOST:PORT."""

from __future__ import annotations

import re
from typing import NamedTuple

from gproc.errors import ConfigError

__all__ = ["Address", "parse_address"]

_BRACKETED = r"\[([0-9A-Fa-f:.%a-z]+)\](?::(\d+))?"
_LABEL = r"[^\s:/\[\].]{1,63}"  # what stands between the dots of a name
_PLAIN = rf"((?:{_LABEL}(?:\.{_LABEL})*\.?)?)(?::(\d+))?"


class Address(NamedTuple):
    """A host, by name or number, and a port."""

    host: str
    """Empty: all interfaces of a server."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, *, to_listen: bool = False) -> Address:
    """Return the address written as ``localhost:3000``, ``192.0.2.7:3000`` or ``[::1]:3000``; raises `ConfigError`.

    One *to_listen* at may leave out the host, for all interfaces, and its port may be 0, which takes a free one.
    """
    if not isinstance(text, str):  # a variable that is missing from the environment, say
        raise _no_address(text)
    text = text.strip()
    match = re.fullmatch(_BRACKETED if text.startswith("[") else _PLAIN, text, re.ASCII)
    if match is None or not (match.group(1) or (to_listen and text)):
        raise _no_address(text)
    host, port = match.group(1), match.group(2)
    if port is None:
        raise ConfigError(f"address {text!r}: the port is missing; write {text}:3000 if it is 3000")
    lowest = 0 if to_listen else 1
    if not lowest <= int(port) <= 65_535:
        raise ConfigError(f"address {text!r}: {port} is not a port; ports are {lowest} to 65535")
    return Address(host, int(port))


def _no_address(text: object) -> ConfigError:
    return ConfigError(f"address {text!r}: not HOST:PORT; write localhost:3000, or [::1]:3000 for IPv6")
