"""The client's settings, and where each of them came from."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gproc.config import _toml
from gproc.errors import ConfigError

__all__ = [
    "CONTEXT_FIELDS",
    "Context",
    "ContextFile",
    "Setting",
    "Settings",
    "changing_contexts",
    "context_file_path",
    "load_contexts",
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

_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"


class Setting(NamedTuple):
    """A value and its source, in words for people: ``--addr``, ``GPROC_ADDR``, ``context 'prod' in …``."""

    value: str
    source: str


class Context(NamedTuple):
    """A named way to a server; what it leaves out must come from elsewhere."""

    name: str
    addr: str | None = None
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None


class ContextFile(NamedTuple):
    """The client's configuration file, read."""

    path: Path
    contexts: Mapping[str, Context] = MappingProxyType({})
    current: str | None = None

    def get(self, name: str, *, asked_by: str) -> Context:
        """Return the context called *name*; raise `ConfigError`, saying who asked, if there is none."""
        if name in self.contexts:
            return self.contexts[name]
        known = ", ".join(sorted(self.contexts)) or "none yet; make one with `gproc context add`"
        raise ConfigError(f"context {name!r} ({asked_by}): not in {self.path}; contexts there: {known}")

    def with_context(self, context: Context) -> ContextFile:
        """Return the file with *context* in it; the first one also becomes the current one."""
        if re.fullmatch(_NAME, context.name, re.ASCII) is None:
            raise ConfigError(f"context {context.name!r}: a name is 1 to 64 letters, digits or any of . _ @ -")
        return self._replace(contexts={**self.contexts, context.name: context}, current=self.current or context.name)

    def without_context(self, name: str) -> ContextFile:
        """Return the file without the context called *name*; raise `ConfigError` if it is not there."""
        self.get(name, asked_by="to be removed")
        left = {other: context for other, context in self.contexts.items() if other != name}
        return self._replace(contexts=left, current=None if self.current == name else self.current)


class Settings(NamedTuple):
    """The settings of one command, each with its source."""

    values: Mapping[str, Setting]
    path: Path
    context: Setting | None = None
    """The context that was chosen, and by whom."""

    def get(self, name: str) -> Setting | None:
        """Return the setting, or None if nobody gave it."""
        return self.values.get(name)

    def require(self, name: str) -> str:
        """Return the value of a setting; if nobody gave it, raise `ConfigError` about all that nobody gave."""
        setting = self.values.get(name)
        if setting is not None:
            return setting.value
        missing = [field for field in CONTEXT_FIELDS if field not in self.values]
        if len(missing) == 1:
            raise ConfigError(self.lack_of(name))
        ways = ", ".join(f"--{field} or {_variable(field)}" for field in missing)
        raise ConfigError(f"settings are missing: {ways}; give them so, or {self._in_a_context()}")

    def lack_of(self, name: str) -> str:
        """Return what to say about a setting that is missing: what it is, and the three ways to give it."""
        ways = f"as --{name}, as {_variable(name)}, or {self._in_a_context()}"
        return f"setting {name!r} is missing ({MEANINGS[name]}); give it {ways}"

    def _in_a_context(self) -> str:
        if self.context:
            return f"in context {self.context.value!r} in {self.path}"
        return f"in a context in {self.path} (`gproc context add`)"


def context_file_path(environ: Mapping[str, str]) -> Path:
    """Return where the client's configuration file is, whether or not it exists; it begins with ~ if nobody knows."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or "~", ".config")  # noqa: PTH118
    # Path.expanduser raises where there is no home; whoever gives all settings needs none.
    return Path(os.path.expanduser(base)) / "gproc" / "config.toml"  # noqa: PTH111


def load_contexts(path: Path) -> ContextFile:
    """Return the contexts in the file, none if there is no file; raise `ConfigError` if it cannot be understood."""
    table = _toml.read_file(path, missing_is_empty=True)
    _toml.only_keys(table, {"current", "contexts"}, path, "")
    contexts = {}
    for name, entry in _toml.table_at(table, "contexts", path).items():
        where = f"contexts.{name}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{path}: {where}: must be a table of {', '.join(CONTEXT_FIELDS)}")
        _toml.only_keys(entry, set(CONTEXT_FIELDS), path, where)
        contexts[name] = Context(
            name=name, **{key: _toml.text(value, path, f"{where}.{key}") for key, value in entry.items()}
        )
    current = table.get("current")
    return ContextFile(
        path=path, contexts=contexts, current=None if current is None else _toml.text(current, path, "current")
    )


@contextmanager
def changing_contexts(path: Path) -> Iterator[None]:
    """Keep other commands from changing the contexts between reading and writing them."""
    with ExitStack() as stack:
        with suppress(OSError):  # where nothing can be locked, something may be written, or it is said why not
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield


def save_contexts(file: ContextFile) -> None:
    """Write the contexts, whole or not at all. Comments that somebody wrote into the file are lost; a link to it stays.

    Raises `ConfigError` if that cannot be.
    """
    if file.path.parts[0].startswith("~"):
        raise ConfigError(f"{file.path}: there is no home directory to keep contexts in; set XDG_CONFIG_HOME")
    lines = ["# Written by `gproc context`."]
    if file.current is not None:
        lines.append(f"current = {_quoted(file.current)}")
    for name, context in sorted(file.contexts.items()):
        lines += ["", f"[contexts.{_quoted(name)}]"]
        lines += [f"{key} = {_quoted(value)}" for key in CONTEXT_FIELDS if (value := getattr(context, key)) is not None]
    path = Path(os.path.realpath(file.path))
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_bytes("".join(f"{line}\n" for line in lines).encode())
        temporary.replace(path)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{file.path}: cannot hold {error.object[error.start]!r}; only UTF-8 can be kept") from error
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
