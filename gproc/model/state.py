"""The states a job can be in."""

from __future__ import annotations

from enum import Enum

__all__ = ["LIVE_STATES", "JobState"]


class JobState(Enum):
    """Where a job is in its life; the value is the word that people and JSON see."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    SIGNALED = "signaled"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen: the job and all it started are gone."""
        return self not in LIVE_STATES


LIVE_STATES = frozenset({JobState.PENDING, JobState.RUNNING, JobState.STOPPING})
"""The states of jobs that are not over."""
