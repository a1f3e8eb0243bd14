"""The server: a door to the jobs of one state directory, for clients who prove who they are.

`serve` runs it, as told by `ServeOptions`, in the event loop of `run`; `gproc.server.app` shows how it is put together.
Importing this package costs nothing: the names are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gproc.server.app import RunningServer, open_server, serve
    from gproc.server.loop import run
    from gproc.server.options import ServeOptions

__all__ = ["RunningServer", "ServeOptions", "open_server", "run", "serve"]

_HOMES = {
    "RunningServer": "gproc.server.app",
    "ServeOptions": "gproc.server.options",
    "open_server": "gproc.server.app",
    "run": "gproc.server.loop",
    "serve": "gproc.server.app",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'gproc.server' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
