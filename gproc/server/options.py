"""What a server is told when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from gproc.model import Identity
from gproc.model.address import parse_address
from gproc.model.policy import Quotas, Rule
from gproc.worker.settings import SupervisorSettings

__all__ = ["ServeOptions", "waiting_for_start"]

_SETTINGS = {
    "output_bytes": "output.max_bytes",
    "output_policy": "output.policy",
    "owner_output_bytes": "quotas.output_bytes",
    "reserve_bytes": "disk.reserve",
    "retention": "retention",
    "cgroup": "cgroup.path",
}
"""Settings of the supervisor, by what a configuration calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Everything a server needs to know; raises `ConfigError` if the address makes no sense."""

    addr: str
    """``HOST:PORT``, ``[V6]:PORT``, or ``:PORT`` for all interfaces; port 0 takes a free one."""
    cacert: Path
    cert: Path
    key: Path
    state_dir: Path
    crl: Path | None = None
    run_as: str | None = None
    """The Unix user that jobs run as, unless `users` says otherwise."""
    users: Mapping[Identity, str] = field(default_factory=dict)
    """The Unix user of each owner."""
    source: str = "configuration"
    """The file that users, rules, quotas and settings were read from, as errors name it."""
    rules: tuple[Rule, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    settings: SupervisorSettings = field(default_factory=SupervisorSettings)
    """What is kept of jobs and their output."""
    drain: timedelta = timedelta(seconds=5)
    """How long running requests may take once the server has been asked to end."""
    json_logs: bool = False

    def __post_init__(self) -> None:
        parse_address(self.addr, to_listen=True)


def waiting_for_start(running: ServeOptions, wanted: ServeOptions) -> tuple[str, ...]:
    """Return what of the configuration *wanted* has otherwise than *running*, and a reload does not change."""
    changed = [
        key for name, key in _SETTINGS.items() if getattr(running.settings, name) != getattr(wanted.settings, name)
    ]
    return (*changed, *(["quotas.connections"] if running.quotas.connections != wanted.quotas.connections else []))
