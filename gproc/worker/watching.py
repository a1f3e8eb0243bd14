"""Telling those who watch what changes, and no more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from gproc.model import Identity, JobId, JobStatus
from gproc.worker.changes import Changes
from gproc.worker.registry import Entry, Registry

__all__ = ["Watchers"]


class _Watcher:
    """One who watches; what changed since it was told last waits here, each job once."""

    def __init__(self, named: Sequence[Entry], owner: Identity | None) -> None:
        self.changed: dict[JobId, Entry] = {}
        self.changes = Changes()
        self._ids = {entry.id for entry in named}
        self._owner = owner

    def wants(self, entry: Entry) -> bool:
        if self._ids:
            return entry.id in self._ids
        return self._owner is None or entry.status.owner == self._owner


class Watchers:
    """All who watch the jobs of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._watchers: set[_Watcher] = set()

    def notify(self, entry: Entry) -> None:
        """Tell of a change of *entry*."""
        for watcher in self._watchers:
            if watcher.wants(entry):
                watcher.changed[entry.id] = entry
                watcher.changes.notify()

    async def watch(self, named: Sequence[Entry], owner: Identity | None) -> AsyncGenerator[JobStatus, None]:
        """Yield the status of each job now, then every change. See `Supervisor.watch`."""
        watcher = _Watcher(named, owner)
        self._watchers.add(watcher)
        try:
            first = sorted(named or self._registry.owned(owner), key=lambda entry: entry.id)
            watcher.changed = {entry.id: entry for entry in first}
            while True:
                changed, watcher.changed = watcher.changed, {}
                for entry in changed.values():
                    yield entry.current()
                if named and not watcher.changed and all(entry.status.is_final for entry in named):
                    return
                if not watcher.changed:
                    await watcher.changes.wait()
        finally:
            self._watchers.discard(watcher)
