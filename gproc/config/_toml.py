"""Tables and values of TOML files: each is what it has to be, or a `ConfigError` names the file and the key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from gproc.errors import ConfigError, InvalidArgument
from gproc.model.checks import LARGEST_COUNT, LARGEST_SIZE, check_natural
from gproc.model.units import parse_duration, parse_size

Value = TypeVar("Value")


def read_file(path: Path, *, missing_is_empty: bool) -> dict[str, Any]:
    """Return the document in the file."""
    try:
        content = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except FileNotFoundError as error:
        if missing_is_empty:
            return {}
        raise ConfigError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    return _parsed(content, path)


def _parsed(content: str, path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 -- commands that find no file need not wait for it

    try:
        return tomllib.loads(content)
    except (ValueError, RecursionError) as error:  # not only its own: numbers of 5,000 digits, 5,000 brackets
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def only_keys(table: Mapping[str, Any], known: set[str], source: object, where: str) -> None:
    for key in table:
        if key not in known:
            name = f"{where}.{key}" if where else key
            raise ConfigError(f"{source}: {name}: there is no such key; here are known: {', '.join(sorted(known))}")


def table_at(table: Mapping[str, Any], key: str, source: object, prefix: str = "") -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: {prefix}{key}: must be a table")
    return value


def text(value: object, source: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{source}: {where}: must be a text that is not empty")
    return value


def absolute(value: object, source: object, where: str) -> Path:
    path = Path(text(value, source, where))
    if not path.is_absolute():
        raise ConfigError(f"{source}: {where}: must be a path from the root, not {str(path)!r}")
    return path


def patterns(value: object, source: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{source}: {where}: must be a list of texts")
    return tuple(text(pattern, source, where) for pattern in value)


def count(value: object, source: object, where: str, *, most: int = LARGEST_COUNT) -> int:
    return _worded(lambda number, name: check_natural(name, number, most=most), value, source, where)


def size(value: object, source: object, where: str) -> int:
    if isinstance(value, str):
        return _worded(parse_size, value, source, where)
    return count(value, source, where, most=LARGEST_SIZE)


def duration(value: object, source: object, where: str) -> timedelta:
    if isinstance(value, str):
        return _worded(parse_duration, value, source, where)
    try:
        return timedelta(seconds=count(value, source, where, most=LARGEST_SIZE))
    except OverflowError as error:
        raise ConfigError(f"{source}: {where}: is longer than can be counted") from error


def _worded(parse: Callable[[Any, str], Value], value: object, source: object, where: str) -> Value:
    try:
        return parse(value, where)
    except InvalidArgument as error:
        raise ConfigError(f"{source}: {error}") from error


def optional(
    parse: Callable[[object, object, str], Value], table: Mapping[str, Any], key: str, source: object, where: str
) -> Value | None:
    return parse(table[key], source, f"{where}.{key}") if key in table else None
