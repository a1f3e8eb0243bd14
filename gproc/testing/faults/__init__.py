"""Faults with names, for tests of Gproc and of programs that use it.

- `ServerProcess`: a real ``gproc serve`` in a process of its own, to be killed and started again.
- `kill_server`, `kill_spawner`, `kill_shim`, `kill_both`, `frozen_shim`: signals to processes whose identity is proven.
- `Line`: a TCP proxy that cuts, stalls, delays or trickles.
- `small_disk`: a disk that is full when you say so, and has room again when you say so.
- `few_descriptors`: a process that has nearly run out of descriptors.
- `Damage`, `random_damage`: files cut off or with a flipped bit.
- `shifted_clock`: a wall clock that jumps.
- `pattern`: output that encodes its own position, those who read it, and a judge.

Importing this package costs nothing: the names are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gproc.testing.faults.clock import shifted_clock
    from gproc.testing.faults.descriptors import few_descriptors
    from gproc.testing.faults.disk import SmallDisk, small_disk
    from gproc.testing.faults.files import Damage, random_damage
    from gproc.testing.faults.line import Line
    from gproc.testing.faults.pattern import Piece, Verdict, Writer, judge, read_output
    from gproc.testing.faults.processes import (
        NotProvenError,
        frozen_shim,
        kill_both,
        kill_server,
        kill_shim,
        kill_spawner,
        shim_pid,
        spawner_pid,
    )
    from gproc.testing.faults.server import ServerProcess

__all__ = [
    "Damage",
    "Line",
    "NotProvenError",
    "Piece",
    "ServerProcess",
    "SmallDisk",
    "Verdict",
    "Writer",
    "few_descriptors",
    "frozen_shim",
    "judge",
    "kill_both",
    "kill_server",
    "kill_shim",
    "kill_spawner",
    "random_damage",
    "read_output",
    "shifted_clock",
    "shim_pid",
    "small_disk",
    "spawner_pid",
]

_HOMES = {
    "Damage": "files",
    "Line": "line",
    "NotProvenError": "processes",
    "Piece": "pattern",
    "ServerProcess": "server",
    "SmallDisk": "disk",
    "Verdict": "pattern",
    "Writer": "pattern",
    "few_descriptors": "descriptors",
    "frozen_shim": "processes",
    "judge": "pattern",
    "kill_both": "processes",
    "kill_server": "processes",
    "kill_shim": "processes",
    "kill_spawner": "processes",
    "random_damage": "files",
    "read_output": "pattern",
    "shifted_clock": "clock",
    "shim_pid": "processes",
    "small_disk": "disk",
    "spawner_pid": "processes",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'gproc.testing.faults' has no attribute {name!r}")
    return getattr(import_module(f"gproc.testing.faults.{_HOMES[name]}"), name)
