"""Start, stop, watch and report on jobs of this machine. Knows no network.

The spawner and the shims live in this package and must stay small: names are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gproc.worker.process import Process, ProcessStatus
    from gproc.worker.settings import SupervisorSettings
    from gproc.worker.supervisor import Supervisor

__all__ = ["Process", "ProcessStatus", "Supervisor", "SupervisorSettings"]

_HOMES = {
    "Process": "gproc.worker.process",
    "ProcessStatus": "gproc.worker.process",
    "Supervisor": "gproc.worker.supervisor",
    "SupervisorSettings": "gproc.worker.settings",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'gproc.worker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
