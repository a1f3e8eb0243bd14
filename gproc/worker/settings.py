"""What the owner of a state directory decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gproc.model import OutputPolicy
from gproc.store.retention import Retention

__all__ = ["SupervisorSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """Bounds for all jobs of a supervisor. The defaults suit one machine with one disk."""

    reserve_bytes: int = 256 * 1024 * 1024
    """Free disk space that output must leave."""
    output_bytes: int | None = None
    """Output kept of one job at most; None: as much as the disk holds."""
    output_policy: OutputPolicy = OutputPolicy.DROP
    """What happens when a job has written that much."""
    owner_output_bytes: int | None = None
    """Output kept of all jobs of one owner; beyond it, new jobs are refused. None: no bound."""
    cgroup: Path | None = None
    """A cgroup v2 subtree for jobs; None: the one that systemd delegated to this service, if it did."""
    retention: Retention = field(default_factory=Retention)
