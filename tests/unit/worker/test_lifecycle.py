from __future__ import annotations

from itertools import product

import pytest

from gproc.model import JobState
from gproc.worker.lifecycle import TABLE, Action, Cause, Event, Phase, final_state


def test_there_is_a_step_for_every_phase_and_event() -> None:
    assert set(TABLE) == set(product(Phase, Event))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ENDED])
def test_an_empty_tree_ends_every_phase_and_nothing_else_does(phase: Phase) -> None:
    ends = [event for event in Event if TABLE[phase, event].phase is Phase.ENDED]
    assert ends == [Event.TREE_EMPTY]
    assert TABLE[phase, Event.TREE_EMPTY].actions == (Action.FINISH,)


@pytest.mark.parametrize("event", Event)
def test_after_the_end_nothing_happens(event: Event) -> None:
    assert TABLE[Phase.ENDED, event].phase is Phase.ENDED
    assert TABLE[Phase.ENDED, event].actions == ()


def test_nothing_goes_back_to_an_earlier_phase() -> None:
    order = [Phase.RUNNING, Phase.STOPPING, Phase.SWEEPING, Phase.KILLING, Phase.ENDED]
    assert all(order.index(step.phase) >= order.index(phase) for (phase, _), step in TABLE.items())


@pytest.mark.parametrize("event", [Event.STOP_ASKED, Event.TIME_OVER, Event.OUTPUT_FULL])
def test_b1_a_job_is_signalled_once_whatever_makes_it_end(event: Event) -> None:
    assert Action.SIGNAL_GROUP in TABLE[Phase.RUNNING, event].actions
    later = [step for (phase, _), step in TABLE.items() if phase is not Phase.RUNNING]
    assert not any(Action.SIGNAL_GROUP in step.actions for step in later)


def test_b2_whoever_is_asked_to_end_has_a_grace_and_is_killed_after_it() -> None:
    for (phase, event), step in TABLE.items():
        if phase is Phase.RUNNING and step.phase in (Phase.STOPPING, Phase.SWEEPING):
            assert Action.START_GRACE in step.actions, (phase, event)
    for phase in (Phase.STOPPING, Phase.SWEEPING, Phase.KILLING):
        assert TABLE[phase, Event.GRACE_OVER].actions == (Action.KILL_TREE,)


def test_b4_what_a_program_leaves_behind_is_asked_to_end() -> None:
    for phase in (Phase.RUNNING, Phase.STOPPING):
        assert Action.TERMINATE_REST in TABLE[phase, Event.PROGRAM_ENDED].actions


@pytest.mark.parametrize(
    ("cause", "was_signaled", "state"),
    [
        (None, False, JobState.EXITED),
        (None, True, JobState.SIGNALED),
        (Cause.STOP, False, JobState.STOPPED),
        (Cause.STOP, True, JobState.STOPPED),
        (Cause.OUTPUT, True, JobState.STOPPED),
        (Cause.TIMEOUT, False, JobState.TIMED_OUT),
        (Cause.TIMEOUT, True, JobState.TIMED_OUT),
    ],
)
def test_the_final_state_says_why(cause: Cause | None, was_signaled: bool, state: JobState) -> None:
    assert final_state(cause, was_signaled=was_signaled) is state
