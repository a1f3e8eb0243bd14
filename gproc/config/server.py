"""The server's configuration file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gproc.config import _toml
from gproc.errors import ConfigError
from gproc.model import OutputPolicy
from gproc.model.policy import Quotas, Rule
from gproc.store.retention import Retention

__all__ = [
    "OutputConfig",
    "ServerConfig",
    "load_server_config",
    "parse_server_config",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """How much output of one job is kept, and what happens then."""

    max_bytes: int | None = None
    policy: OutputPolicy = OutputPolicy.DROP


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The server's configuration file, read; the defaults are those of an empty file."""

    users: Mapping[str, str] = field(default_factory=dict)
    """Owner to Unix user. Empty: the server's own user, or ``--run-as``."""
    quotas: Quotas = field(default_factory=Quotas)
    """Of each owner."""
    owner_output_bytes: int | None = None
    """Output kept of all jobs of one owner together; beyond it, new jobs are refused."""
    output: OutputConfig = OutputConfig()
    retention: Retention = field(default_factory=Retention)
    disk_reserve: int | None = None
    """Bytes of the state directory's file system that output never uses; None: as the server does by itself."""
    cgroup: Path | None = None
    """A cgroup v2 for jobs, made if it is not there; None: the one that systemd delegated, if it did."""
    policy: tuple[Rule, ...] = ()
    """The first rule whose owner pattern fits decides; none: allowed."""
    source: str = "defaults"
    """The file it was read from."""


def load_server_config(path: str | Path) -> ServerConfig:
    """Return the server's configuration; raise `ConfigError`, naming file and key, if anything in it is wrong."""
    return parse_server_config(_toml.read_file(Path(path), missing_is_empty=False), source=str(path))


def parse_server_config(table: Mapping[str, Any], *, source: str) -> ServerConfig:
    """Return the configuration in a TOML document that was read from *source*; raises `ConfigError`."""
    _toml.only_keys(table, {"users", "quotas", "output", "retention", "disk", "cgroup", "policy"}, source, "")
    quotas, disk, cgroup = (_toml.table_at(table, name, source) for name in ("quotas", "disk", "cgroup"))
    _toml.only_keys(disk, {"reserve"}, source, "disk")
    _toml.only_keys(cgroup, {"path"}, source, "cgroup")
    return ServerConfig(
        users={
            owner: _toml.text(user, source, f"users.{owner}")
            for owner, user in _toml.table_at(table, "users", source).items()
        },
        quotas=_quotas(quotas, source),
        owner_output_bytes=_toml.optional(_toml.size, quotas, "output_bytes", source, "quotas"),
        output=_output(_toml.table_at(table, "output", source), source),
        retention=_retention(_toml.table_at(table, "retention", source), source),
        disk_reserve=_toml.optional(_toml.size, disk, "reserve", source, "disk"),
        cgroup=_toml.optional(_toml.absolute, cgroup, "path", source, "cgroup"),
        policy=_policy(table.get("policy", []), source),
        source=source,
    )


def _quotas(table: Mapping[str, Any], source: str) -> Quotas:
    """Return the quotas; one that is not told is as the server does without being told."""
    _toml.only_keys(table, {"output_bytes", *(quota.name for quota in fields(Quotas))}, source, "quotas")
    counts = {key: value for key, value in table.items() if key != "output_bytes"}
    return Quotas(**{key: _toml.count(value, source, f"quotas.{key}") for key, value in counts.items()})


def _output(table: Mapping[str, Any], source: str) -> OutputConfig:
    _toml.only_keys(table, {"max_bytes", "policy"}, source, "output")
    policy = _toml.text(table.get("policy", "drop"), source, "output.policy")
    if policy not in ("drop", "stop"):
        raise ConfigError(f'{source}: output.policy: {policy!r} is neither "drop" nor "stop"')
    max_bytes = _toml.optional(_toml.size, table, "max_bytes", source, "output")
    return OutputConfig(max_bytes=max_bytes, policy=OutputPolicy(policy))


def _retention(table: Mapping[str, Any], source: str) -> Retention:
    """Return the bounds; a bound that is not told is the store's own, and ``"none"`` takes it away."""
    parsers: dict[str, Callable[[object, object, str], Any]] = {
        "age": _toml.duration,
        "count": _toml.count,
        "bytes": _toml.size,
    }
    _toml.only_keys(table, set(parsers), source, "retention")
    told = {
        key: None if value == "none" else parsers[key](value, source, f"retention.{key}")
        for key, value in table.items()
    }
    return replace(Retention(), **told)


def _policy(rules: object, source: str) -> tuple[Rule, ...]:
    if not isinstance(rules, list):
        raise ConfigError(f"{source}: policy: must be rules, each under its own [[policy]]")
    return tuple(_rule(rule, source, f"policy[{number}]") for number, rule in enumerate(rules, start=1))


def _rule(rule: object, source: str, where: str) -> Rule:
    if not isinstance(rule, dict):
        raise ConfigError(f"{source}: {where}: must be a table, under its own [[policy]]")
    _toml.only_keys(rule, {"owner", "allow", "deny"}, source, where)
    return Rule(
        owner=_toml.text(rule.get("owner", "*"), source, f"{where}.owner"),
        allow=_toml.patterns(rule.get("allow", []), source, f"{where}.allow"),
        deny=_toml.patterns(rule.get("deny", []), source, f"{where}.deny"),
    )
