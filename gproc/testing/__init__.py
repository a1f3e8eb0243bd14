"""For tests that need a Gproc server: a throwaway authority, an embedded server, clients by name.

Needs ``pip install gproc[testing]``. The pytest fixtures `gproc_server` and `gproc_client` come with it: see
`gproc.testing.plugin`. Importing this package costs nothing: the names are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gproc.testing.authority import Authority, Files
    from gproc.testing.embedded import EmbeddedServer, embedded_server
    from gproc.testing.forger import Forger
    from gproc.testing.threaded import ThreadedServer, threaded_server

__all__ = ["Authority", "EmbeddedServer", "Files", "Forger", "ThreadedServer", "embedded_server", "threaded_server"]

_HOMES = {
    "Authority": "gproc.testing.authority",
    "EmbeddedServer": "gproc.testing.embedded",
    "Files": "gproc.testing.authority",
    "Forger": "gproc.testing.forger",
    "ThreadedServer": "gproc.testing.threaded",
    "embedded_server": "gproc.testing.embedded",
    "threaded_server": "gproc.testing.threaded",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'gproc.testing' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
