"""One copy of what many jobs have in common: commands, arguments, reasons, owners.

Statuses come from records and from shims, each with texts of its own, and thousands of finished jobs stay in memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from gproc.model import JobId, JobStatus

__all__ = ["Pool"]

_REMEMBERED = 1024
_NOTHING: Mapping[str, str] = {}

Value = TypeVar("Value", bound=Hashable)


class Pool:
    """Remembers the values it met last, at most `_REMEMBERED`, and gives the same one for an equal one.

    Not `sys.intern`: what that is given stays for ever in some versions of Python, and clients choose these texts.
    """

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def one(self, value: Value) -> Value:
        """Return a value that is equal to *value*, the same for all who ask."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        # Equal is not enough: 1 == 1.0 == True.
        known: Value = self._known.setdefault((type(value), value), value)
        return known

    def status(self, status: JobStatus, job_id: JobId) -> JobStatus:
        """Return *status* with everything shared that can be; *job_id* is the copy of its id that is kept anyway."""
        return replace(
            status,
            id=job_id,
            owner=self.one(status.owner),
            command=self.one(status.command),
            args=self.one(status.args),
            name=self.one(status.name),
            labels=status.labels or _NOTHING,
            signal=self.one(status.signal),
            reason=self.one(status.reason),
            stopped_by=self.one(status.stopped_by),
            limits=status.limits or _NOTHING,
        )
