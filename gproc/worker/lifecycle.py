"""The life of a job as a table: what happens in which phase, and what is to be done.

Pure: the shim carries out what it says. `TABLE` has a step for every phase and every event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from gproc.model import JobState

__all__ = ["TABLE", "Action", "Cause", "Event", "Phase", "Step", "final_state"]


class Phase(Enum):
    """Where a running job is, seen from its shim."""

    RUNNING = auto()
    STOPPING = auto()
    """Asked to end; the program is still there."""
    SWEEPING = auto()
    """The program ended and left processes behind, which were asked to end."""
    KILLING = auto()
    """Patience is over: everything gets SIGKILL until nothing is left."""
    ENDED = auto()


class Event(Enum):
    """What can happen to a job."""

    STOP_ASKED = auto()
    TIME_OVER = auto()
    OUTPUT_FULL = auto()
    PROGRAM_ENDED = auto()
    GRACE_OVER = auto()
    TREE_EMPTY = auto()


class Action(Enum):
    """What the shim does about it."""

    SIGNAL_GROUP = auto()
    """The stop signal, then SIGCONT, to the program's process group."""
    START_GRACE = auto()
    SHORTEN_GRACE = auto()
    """Only ever towards an earlier end."""
    TERMINATE_REST = auto()
    """SIGTERM, then SIGCONT, to each process left behind."""
    KILL_TREE = auto()
    FINISH = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """The phase that follows, and what is to be done on the way."""

    phase: Phase
    actions: tuple[Action, ...] = ()


class Cause(Enum):
    """Why a job was made to end; the first one counts."""

    STOP = auto()
    TIMEOUT = auto()
    OUTPUT = auto()


_TO_END = Step(Phase.STOPPING, (Action.SIGNAL_GROUP, Action.START_GRACE))

TABLE: dict[tuple[Phase, Event], Step] = {
    (Phase.RUNNING, Event.STOP_ASKED): _TO_END,
    (Phase.RUNNING, Event.TIME_OVER): _TO_END,
    (Phase.RUNNING, Event.OUTPUT_FULL): _TO_END,
    (Phase.RUNNING, Event.PROGRAM_ENDED): Step(Phase.SWEEPING, (Action.TERMINATE_REST, Action.START_GRACE)),
    (Phase.RUNNING, Event.GRACE_OVER): Step(Phase.RUNNING),
    (Phase.RUNNING, Event.TREE_EMPTY): Step(Phase.ENDED, (Action.FINISH,)),
    (Phase.STOPPING, Event.STOP_ASKED): Step(Phase.STOPPING, (Action.SHORTEN_GRACE,)),
    (Phase.STOPPING, Event.TIME_OVER): Step(Phase.STOPPING),
    (Phase.STOPPING, Event.OUTPUT_FULL): Step(Phase.STOPPING),
    (Phase.STOPPING, Event.PROGRAM_ENDED): Step(Phase.SWEEPING, (Action.TERMINATE_REST,)),
    (Phase.STOPPING, Event.GRACE_OVER): Step(Phase.KILLING, (Action.KILL_TREE,)),
    (Phase.STOPPING, Event.TREE_EMPTY): Step(Phase.ENDED, (Action.FINISH,)),
    (Phase.SWEEPING, Event.STOP_ASKED): Step(Phase.SWEEPING, (Action.SHORTEN_GRACE,)),
    (Phase.SWEEPING, Event.TIME_OVER): Step(Phase.SWEEPING),
    (Phase.SWEEPING, Event.OUTPUT_FULL): Step(Phase.SWEEPING),
    (Phase.SWEEPING, Event.PROGRAM_ENDED): Step(Phase.SWEEPING),
    (Phase.SWEEPING, Event.GRACE_OVER): Step(Phase.KILLING, (Action.KILL_TREE,)),
    (Phase.SWEEPING, Event.TREE_EMPTY): Step(Phase.ENDED, (Action.FINISH,)),
    (Phase.KILLING, Event.STOP_ASKED): Step(Phase.KILLING),
    (Phase.KILLING, Event.TIME_OVER): Step(Phase.KILLING),
    (Phase.KILLING, Event.OUTPUT_FULL): Step(Phase.KILLING),
    (Phase.KILLING, Event.PROGRAM_ENDED): Step(Phase.KILLING, (Action.KILL_TREE,)),
    (Phase.KILLING, Event.GRACE_OVER): Step(Phase.KILLING, (Action.KILL_TREE,)),
    (Phase.KILLING, Event.TREE_EMPTY): Step(Phase.ENDED, (Action.FINISH,)),
    **{(Phase.ENDED, event): Step(Phase.ENDED) for event in Event},
}


def final_state(cause: Cause | None, *, was_signaled: bool) -> JobState:
    """Return the final state of a job that was made to end by *cause*, or ended by itself."""
    match cause:
        case Cause.STOP | Cause.OUTPUT:
            return JobState.STOPPED
        case Cause.TIMEOUT:
            return JobState.TIMED_OUT
        case None:
            return JobState.SIGNALED if was_signaled else JobState.EXITED
