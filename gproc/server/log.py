"""What the server says on stderr: one event, one line.

``2026-01-31T12:00:00.123Z info job_started owner=alice job=01k… command="sleep 5"``

Whatever came from a client is shortened and has its control characters escaped, so nobody can forge a line or steer a
terminal. Lines of libraries take the same way; a traceback becomes one ``error=`` field.
"""

from __future__ import annotations

import json
import logging
import select
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["EventLog", "JsonFormatter", "LogfmtFormatter", "describe", "escape", "logging_to"]

MAX_VALUE = 200
_FRAMES = 5
_ABSENT = (None, "")
_STANDARD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}
_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/+-,%")


def escape(text: str, limit: int = MAX_VALUE) -> str:
    """Return *text* at most *limit* characters long, with everything that is not printable written as an escape."""
    shown = text if len(text) <= limit else text[:limit] + "…"
    if shown.isprintable() and "\\" not in shown:
        return shown
    return "".join(one if one.isprintable() and one != "\\" else _escaped(one) for one in shown)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape", "surrogatepass").decode()


class EventLog:
    """Writes events with fields through a logger of the standard library."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def info(self, event: str, **fields: object) -> None:
        """Write that something happened as it should."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write that something was refused or needs an eye on it."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write that the server failed."""
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        self._logger.log(level, "%s", event, extra={"fields": fields})


class LogfmtFormatter(logging.Formatter):
    """A record as ``time level event key=value …``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*."""
        event, fields = _event_of(record)
        pairs = (f"{key}={_quote(escape(str(value)))}" for key, value in fields.items() if value not in _ABSENT)
        return " ".join((_time(record), record.levelname.lower(), event, *pairs))


class JsonFormatter(logging.Formatter):
    """A record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*."""
        event, fields = _event_of(record)
        document: dict[str, object] = {"time": _time(record), "level": record.levelname.lower(), "event": event}
        for key, value in fields.items():
            if value not in _ABSENT:
                document[key] = value if isinstance(value, (int, float)) else escape(str(value))
        return json.dumps(document)


def _event_of(record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
    """Return what happened, and the fields: ours come with the record, a library's line becomes one."""
    own = getattr(record, "fields", None)
    fields = (
        dict(own)
        if own is not None
        else {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    )
    event = fields.pop("event", None) or (record.getMessage() if fields or own is not None else None)
    if event is None:
        event, fields = "message", {"logger": record.name, "text": record.getMessage()}
    if record.exc_info is not None and record.exc_info[1] is not None:
        fields["error"] = describe(record.exc_info[1])
    return escape(str(event)).replace(" ", "_"), fields


def describe(error: BaseException) -> str:
    """Return *error* and where it came from, in one line."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {error}" + (f" at {places}" if places else "")


def _quote(text: str) -> str:
    if text and _BARE.issuperset(text):
        return text
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _QuietHandler(logging.StreamHandler[TextIO]):
    """A log that cannot be written must not hurt the jobs: stderr may be a pipe that nobody reads, or not any more.

    A line that would have to wait is dropped, and how many were is told as soon as there is room again.
    """

    _dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of *record*, unless that would have to wait."""
        if self._dropped and _takes_a_line(self.stream):
            super().emit(_told_dropped(self._dropped))
            self._dropped = 0
        if _takes_a_line(self.stream):
            super().emit(record)
        else:
            self._dropped += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Drop the line."""


def _told_dropped(count: int) -> logging.LogRecord:
    warning = {"levelno": logging.WARNING, "levelname": "WARNING", "msg": "log_lines_dropped"}
    return logging.makeLogRecord({**warning, "fields": {"count": count}})


def _takes_a_line(stream: TextIO) -> bool:
    """Whether a line can be written at once: a pipe says so while it has a page of room, and no line is longer."""
    try:
        ready = select.poll()
        ready.register(stream, select.POLLOUT)
        return bool(ready.poll(0))
    except (OSError, ValueError, TypeError):
        return True  # it is no file: nothing is waited for


@contextmanager
def logging_to(stream: TextIO | None = None, *, as_json: bool = False) -> Iterator[None]:
    """Send all events, and the libraries' warnings, to *stream* (stderr) until the end of the block."""
    handler = _QuietHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LogfmtFormatter())
    root, ours = logging.getLogger(), logging.getLogger("gproc")
    levels = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
