"""Settings, and where each of them came from.

Two files, both TOML. The client's file, ``$XDG_CONFIG_HOME/gproc/config.toml``, holds contexts: named sets of address,
authority, certificate and key. A setting is taken from a flag, else from the environment, else from the context, and
remembers which of them it was. The server's file, given as ``gproc serve --config FILE``, holds who runs as whom, how
much everybody may use, how long things are kept, and who may run what; it becomes one `ServerConfig`.

Whatever is wrong raises `ConfigError`, which names the file and the key.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from gproc.errors import ConfigError, InvalidArgument
from gproc.model.units import parse_duration, parse_size
from gproc.store.retention import Retention

__all__ = [
    "CONTEXT_FIELDS",
    "Context",
    "ContextFile",
    "OutputConfig",
    "PolicyRule",
    "Quotas",
    "ServerConfig",
    "Setting",
    "Settings",
    "context_file_path",
    "load_contexts",
    "load_server_config",
    "parse_server_config",
    "resolve_settings",
    "save_contexts",
]

CONTEXT_FIELDS = ("addr", "cacert", "cert", "key")
"""What a context holds, and what every connection needs."""

MEANINGS = {
    "addr": "the server's HOST:PORT",
    "cacert": "the certificate of the authority to trust",
    "cert": "your certificate",
    "key": "the key of your certificate",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)

Value = TypeVar("Value")


# --- The client's settings -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and its source, in words for people: ``--addr``, ``GPROC_ADDR``, ``context 'prod' in …``."""

    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A named way to a server; what it leaves out must come from elsewhere."""

    name: str
    addr: str | None = None
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFile:
    """The client's configuration file, read."""

    path: Path
    contexts: Mapping[str, Context] = field(default_factory=dict)
    current: str | None = None

    def get(self, name: str, *, asked_by: str) -> Context:
        """Return the context called *name*; raise `ConfigError`, saying who asked, if there is none."""
        if name in self.contexts:
            return self.contexts[name]
        known = ", ".join(sorted(self.contexts)) or "none yet; make one with `gproc context add`"
        raise ConfigError(f"context {name!r} ({asked_by}): not in {self.path}; contexts there: {known}")

    def with_context(self, context: Context) -> ContextFile:
        """Return the file with *context* in it; the first one also becomes the current one."""
        if _NAME.fullmatch(context.name) is None:
            raise ConfigError(f"context {context.name!r}: a name is 1 to 64 letters, digits or any of . _ @ -")
        return replace(self, contexts={**self.contexts, context.name: context}, current=self.current or context.name)

    def without_context(self, name: str) -> ContextFile:
        """Return the file without the context called *name*; raise `ConfigError` if it is not there."""
        self.get(name, asked_by="to be removed")
        left = {other: context for other, context in self.contexts.items() if other != name}
        return replace(self, contexts=left, current=None if self.current == name else self.current)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one command, each with its source."""

    values: Mapping[str, Setting]
    context: Setting | None = None
    """The context that was chosen, and by whom."""
    path: Path

    def get(self, name: str) -> Setting | None:
        """Return the setting, or None if nobody gave it."""
        return self.values.get(name)

    def require(self, name: str) -> str:
        """Return the value of a setting; raise `ConfigError`, with the three ways to give it, if nobody did."""
        setting = self.values.get(name)
        if setting is not None:
            return setting.value
        where = (
            f"in context {self.context.value!r} in {self.path}"
            if self.context
            else f"in a context in {self.path} (`gproc context add`)"
        )
        raise ConfigError(
            f"setting {name!r} is missing ({MEANINGS[name]}); give it as --{name}, as {_variable(name)}, or {where}"
        )


def context_file_path(environ: Mapping[str, str]) -> Path:
    """Return where the client's configuration file is, whether or not it exists."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or "~", ".config")  # noqa: PTH118
    return Path(base).expanduser() / "gproc" / "config.toml"


def load_contexts(path: Path) -> ContextFile:
    """Return the contexts in the file, none if there is no file; raise `ConfigError` if it cannot be understood."""
    table = _read_toml(path, missing_is_empty=True)
    _only_keys(table, {"current", "contexts"}, path, "")
    contexts = {}
    for name, entry in _table(table, "contexts", path).items():
        where = f"contexts.{name}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}: {where}: must be a table of {', '.join(CONTEXT_FIELDS)}")
        _only_keys(entry, set(CONTEXT_FIELDS), path, where)
        contexts[name] = Context(
            name=name, **{key: _text(value, path, f"{where}.{key}") for key, value in entry.items()}
        )
    current = table.get("current")
    return ContextFile(
        path=path, contexts=contexts, current=None if current is None else _text(current, path, "current")
    )


def save_contexts(file: ContextFile) -> None:
    """Write the contexts, whole or not at all. Comments that somebody wrote into the file are lost."""
    lines = ["# Written by `gproc context`."]
    if file.current is not None:
        lines.append(f"current = {_quoted(file.current)}")
    for name, context in sorted(file.contexts.items()):
        lines += ["", f"[contexts.{_quoted(name)}]"]
        lines += [f"{key} = {_quoted(value)}" for key in CONTEXT_FIELDS if (value := getattr(context, key)) is not None]
    temporary = file.path.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.replace(file.path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ConfigError(f"{file.path}: cannot be written: {error.strerror}") from error


def resolve_settings(flags: Mapping[str, str | None], environ: Mapping[str, str], file: ContextFile) -> Settings:
    """Return each setting from its first source: a flag, the environment, the context. Touches nothing.

    *flags* may hold ``addr``, ``cacert``, ``cert``, ``key`` and ``context``. Raises `ConfigError` if the context that
    was asked for does not exist.
    """
    chosen = _chosen_context(flags, environ, file)
    context = None if chosen is None else file.get(chosen.value, asked_by=chosen.source)
    values = {}
    for name in CONTEXT_FIELDS:
        if flags.get(name):
            values[name] = Setting(str(flags[name]), f"--{name}")
        elif environ.get(_variable(name)):
            values[name] = Setting(environ[_variable(name)], _variable(name))
        elif context is not None and getattr(context, name):
            values[name] = Setting(getattr(context, name), f"context {context.name!r} in {file.path}")
    return Settings(values=values, context=chosen, path=file.path)


def _chosen_context(flags: Mapping[str, str | None], environ: Mapping[str, str], file: ContextFile) -> Setting | None:
    if flags.get("context"):
        return Setting(str(flags["context"]), "--context")
    if environ.get("GPROC_CONTEXT"):
        return Setting(environ["GPROC_CONTEXT"], "GPROC_CONTEXT")
    if file.current:
        return Setting(file.current, f"current in {file.path}")
    return None


def _variable(name: str) -> str:
    return f"GPROC_{name.upper()}"


def _quoted(text: str) -> str:
    """Return *text* as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


# --- The server's configuration --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What one owner may use at a time; None: as the server does without being told."""

    running_jobs: int | None = None
    connections: int | None = None
    followers: int | None = None
    """Open streams of output or statuses."""
    starts_per_second: int | None = None
    output_bytes: int | None = None
    """Output kept of all jobs together; beyond it, new jobs are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """How much output of one job is kept, and what happens then."""

    max_bytes: int | None = None
    policy: str = "drop"
    """``"drop"``: the job goes on and what is not kept is counted. ``"stop"``: the job is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """Which commands the owners who fit a pattern may run. Patterns as in a shell: ``*``, ``?``, ``[a-z]``."""

    owner: str = "*"
    allow: tuple[str, ...] = ()
    """Empty: everything that is not denied."""
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The server's configuration file, read; the defaults are those of an empty file."""

    users: Mapping[str, str] = field(default_factory=dict)
    """Owner to Unix user. Empty: the server's own user, or ``--run-as``."""
    quotas: Quotas = Quotas()
    """Of each owner."""
    output: OutputConfig = OutputConfig()
    retention: Retention = field(default_factory=Retention)
    disk_reserve: int | None = None
    """Bytes of the state directory's file system that output never uses; None: as the server does by itself."""
    policy: tuple[PolicyRule, ...] = ()
    """The first rule whose owner pattern fits decides; none: allowed."""
    source: str = "defaults"
    """The file it was read from."""


def load_server_config(path: str | Path) -> ServerConfig:
    """Return the server's configuration; raise `ConfigError`, naming file and key, if anything in it is wrong."""
    return parse_server_config(_read_toml(Path(path), missing_is_empty=False), source=str(path))


def parse_server_config(table: Mapping[str, Any], *, source: str) -> ServerConfig:
    """Return the configuration in a TOML document that was read from *source*; raises `ConfigError`."""
    _only_keys(table, {"users", "quotas", "output", "retention", "disk", "policy"}, source, "")
    disk = _table(table, "disk", source)
    _only_keys(disk, {"reserve"}, source, "disk")
    return ServerConfig(
        users={owner: _text(user, source, f"users.{owner}") for owner, user in _table(table, "users", source).items()},
        quotas=_quotas(_table(table, "quotas", source), source),
        output=_output(_table(table, "output", source), source),
        retention=_retention(_table(table, "retention", source), source),
        disk_reserve=_optional(_size, disk, "reserve", source, "disk"),
        policy=_policy(table.get("policy", []), source),
        source=source,
    )


def _quotas(table: Mapping[str, Any], source: str) -> Quotas:
    _only_keys(table, {quota.name for quota in fields(Quotas)}, source, "quotas")
    return Quotas(
        **{
            key: (_size if key == "output_bytes" else _count)(value, source, f"quotas.{key}")
            for key, value in table.items()
        }
    )


def _output(table: Mapping[str, Any], source: str) -> OutputConfig:
    _only_keys(table, {"max_bytes", "policy"}, source, "output")
    policy = _text(table.get("policy", "drop"), source, "output.policy")
    if policy not in ("drop", "stop"):
        raise ConfigError(f'{source}: output.policy: {policy!r} is neither "drop" nor "stop"')
    return OutputConfig(max_bytes=_optional(_size, table, "max_bytes", source, "output"), policy=policy)


def _retention(table: Mapping[str, Any], source: str) -> Retention:
    """Return the bounds; a bound that is not told is the store's own, and ``"none"`` takes it away."""
    parsers: dict[str, Callable[[object, object, str], Any]] = {"age": _duration, "count": _count, "bytes": _size}
    _only_keys(table, set(parsers), source, "retention")
    told = {
        key: None if value == "none" else parsers[key](value, source, f"retention.{key}")
        for key, value in table.items()
    }
    return replace(Retention(), **told)


def _policy(rules: object, source: str) -> tuple[PolicyRule, ...]:
    if not isinstance(rules, list):
        raise ConfigError(f"{source}: policy: must be rules, each under its own [[policy]]")
    return tuple(_rule(rule, source, f"policy[{number}]") for number, rule in enumerate(rules, start=1))


def _rule(rule: object, source: str, where: str) -> PolicyRule:
    if not isinstance(rule, dict):
        raise ConfigError(f"{source}: {where}: must be a table, under its own [[policy]]")
    _only_keys(rule, {"owner", "allow", "deny"}, source, where)
    return PolicyRule(
        owner=_text(rule.get("owner", "*"), source, f"{where}.owner"),
        allow=_patterns(rule.get("allow", []), source, f"{where}.allow"),
        deny=_patterns(rule.get("deny", []), source, f"{where}.deny"),
    )


# --- Values in TOML --------------------------------------------------------------------------------------------------


def _read_toml(path: Path, *, missing_is_empty: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if missing_is_empty:
            return {}
        raise ConfigError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def _only_keys(table: Mapping[str, Any], known: set[str], source: object, where: str) -> None:
    for key in table:
        if key not in known:
            name = f"{where}.{key}" if where else key
            raise ConfigError(f"{source}: {name}: there is no such key; here are known: {', '.join(sorted(known))}")


def _table(table: Mapping[str, Any], key: str, source: object, prefix: str = "") -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: {prefix}{key}: must be a table")
    return value


def _text(value: object, source: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{source}: {where}: must be a text that is not empty")
    return value


def _patterns(value: object, source: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{source}: {where}: must be a list of texts")
    return tuple(_text(pattern, source, where) for pattern in value)


def _count(value: object, source: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{source}: {where}: must be a whole number, 0 or more")
    return value


def _size(value: object, source: object, where: str) -> int:
    if isinstance(value, str):
        return _worded(parse_size, value, source, where)
    return _count(value, source, where)


def _duration(value: object, source: object, where: str) -> timedelta:
    if isinstance(value, str):
        return _worded(parse_duration, value, source, where)
    return timedelta(seconds=_count(value, source, where))


def _worded(parse: Callable[[str, str], Value], text: str, source: object, where: str) -> Value:
    try:
        return parse(text, where)
    except InvalidArgument as error:
        raise ConfigError(f"{source}: {error}") from error


def _optional(
    parse: Callable[[object, object, str], Value], table: Mapping[str, Any], key: str, source: object, where: str
) -> Value | None:
    return parse(table[key], source, f"{where}.{key}") if key in table else None
