"""Gproc runs Linux processes on a remote server.

- `Supervisor`, `Process` (`gproc.worker`): start, stop, watch and report on jobs on this machine.
- `Client`, `Job` (`gproc.client`): the same over gRPC and mutual TLS; `gproc.client.blocking` for scripts.
- `gproc.model`: the values they speak in. `gproc.errors`: what can go wrong.
- `gproc.testing`: throwaway authorities and an embedded server for tests.

Importing `gproc` costs nothing: the names below are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gproc.client import Client, Job
    from gproc.errors import GprocError
    from gproc.model import Chunk, Gap, JobRequest, JobState, JobStatus, Limits, StopPolicy, Stream
    from gproc.worker import Process, Supervisor

__all__ = [
    "Chunk",
    "Client",
    "Gap",
    "GprocError",
    "Job",
    "JobRequest",
    "JobState",
    "JobStatus",
    "Limits",
    "Process",
    "StopPolicy",
    "Stream",
    "Supervisor",
]

__version__ = "0.1.0"

_HOMES = {
    "Client": "gproc.client",
    "Job": "gproc.client",
    "GprocError": "gproc.errors",
    "Process": "gproc.worker",
    "Supervisor": "gproc.worker",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'gproc' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "gproc.model")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
