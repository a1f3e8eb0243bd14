"""Signals, durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from signal import Signals

from gproc.errors import InvalidArgument
from gproc.model.checks import LARGEST_SIZE

__all__ = ["format_duration", "format_size", "parse_duration", "parse_signal", "parse_size", "signal_name", "span"]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PLAIN_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,19})(?:\.(\d{1,19}))?\s*([kmgt]?)(i?b?)", re.ASCII | re.IGNORECASE)
_LEAST = timedelta(microseconds=1)
_BINARY_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_signal(text: str | int, field: str = "signal") -> Signals:
    """Return the signal called ``SIGTERM``, ``TERM``, ``term`` or ``15``."""
    name = str(int(text) if isinstance(text, Signals) else text).strip().upper()
    try:
        if name.isdecimal():
            return Signals(int(name))
        return Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except (KeyError, ValueError):
        raise InvalidArgument(field, f"{text!r} is not a signal; say TERM, SIGTERM or 15") from None


def signal_name(number: int) -> str:
    """Return ``SIGTERM`` for 15, and ``SIG40`` for a signal without a name."""
    try:
        return Signals(number).name
    except ValueError:
        return f"SIG{number}"


def parse_duration(text: str, field: str = "duration") -> timedelta:
    """Return the duration written as ``30s``, ``1m30s``, ``250ms``, ``2h`` or plain seconds."""
    compact = text.strip().lower()
    try:
        return span(float(compact)) if _PLAIN_NUMBER.fullmatch(compact) else _parts(compact)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, f"{text!r} is not a duration; say 30s, 5m, 1h30m") from None


def _parts(text: str) -> timedelta:
    matches = list(_DURATION_PART.finditer(text))
    if not matches or "".join(match.group(0) for match in matches) != text:
        raise ValueError(text)
    return span(sum(float(match.group(1)) * _SECONDS[match.group(2)] for match in matches))


def span(seconds: float) -> timedelta:
    """Return so many *seconds*; what is less than the microsecond that is kept is one, since none means for ever."""
    return max(timedelta(seconds=seconds), _LEAST) if seconds > 0 else timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Return *duration* in at most two units, as ``0.4s``, ``12s``, ``3m05s``, ``2h07m`` or ``4d03h``."""
    seconds = max(0.0, duration.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes == 0:
        return f"{whole}s"
    if hours == 0:
        return f"{minutes}m{whole % 60:02}s"
    if days == 0:
        return f"{hours}h{minutes % 60:02}m"
    return f"{days}d{hours % 24:02}h"


def parse_size(text: str, field: str = "size") -> int:
    """Return the bytes written as ``4096``, ``64K``, ``256MiB`` or ``1.5G``; all units are powers of 1,024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(field, f"{text!r} is not a size; say 4096, 64K, 256MiB, 1.5G")
    whole, fraction = match.group(1), match.group(2) or "0"
    unit = 1 << 10 * _BINARY_POWERS[match.group(3).lower()]
    # Not through a float: it would round what is longer than 15 digits.
    count: int = int(whole) * unit + int(fraction) * unit // 10 ** len(fraction)
    if count > LARGEST_SIZE:
        raise InvalidArgument(field, f"{text!r} is more than the {LARGEST_SIZE} bytes that any file may have")
    return count


def format_size(count: int) -> str:
    """Return *count* bytes for people, as ``17 B``, ``4.0 KiB`` or ``1.5 GiB``."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1023.95:  # else one decimal would make it 1024.0
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"
