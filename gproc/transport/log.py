"""One line per offence, and few lines per second, whoever is at the other end.

Lines go to the logger ``gproc.transport`` with the fields ``event``, ``peer``, ``owner`` and ``reason`` in *extra*, for
`gproc.server` to format. What a peer wrote is escaped here already, so that one event is one line in any format.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["LOGGER", "EventLog", "printable"]

LOGGER = logging.getLogger("gproc.transport")
LOGGER.addHandler(logging.NullHandler())  # to whoever did not ask for logs, errors alone say what went wrong

_PEERS_REMEMBERED = 1024


def printable(text: str) -> str:
    """Return *text* as printable ASCII, at most 1,000 characters of it: everything else is escaped."""
    is_plain = text.isascii() and text.isprintable()
    escaped = text if is_plain else text.encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= 1000 else escaped[:997] + "..."


class EventLog:
    """Writes at most one line per *interval* for each event, owner and host, and tells how many it left out."""

    def __init__(self, *, interval: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._silent_until: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def write(self, event: str, reason: str, *, peer: str = "", owner: str = "", level: int = logging.WARNING) -> None:
        """Log *event* unless the same happened with the same host a moment ago; *peer* may tell its port, too."""
        key, now = (event, owner, _host(peer)), self._clock()
        until, left_out = self._silent_until.pop(key, (now, 0))
        if now < until:
            self._silent_until[key] = (until, left_out + 1)
            return
        self._silent_until[key] = (now + self._interval, 0)
        while len(self._silent_until) > _PEERS_REMEMBERED:
            self._silent_until.popitem(last=False)
        fields = {"event": event, "peer": peer, "owner": owner, "reason": printable(reason), "left_out": left_out}
        more = f" (and {left_out} more)" if left_out else ""
        LOGGER.log(level, "%s: %s%s", event, fields["reason"], more, extra=fields)


def _host(peer: str) -> str:
    # Whoever connects again and again has another port each time.
    return peer.rpartition(":")[0] if peer.startswith("[") or peer.count(":") == 1 else peer
