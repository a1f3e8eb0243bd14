from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gproc.worker.lifecycle import TABLE, Action, Event, Phase

others = st.lists(st.sampled_from([event for event in Event if event is not Event.TREE_EMPTY]), max_size=20)


def run(events: list[Event]) -> tuple[Phase, list[Action]]:
    """Return the phase and all actions after *events*."""
    phase = Phase.RUNNING
    actions: list[Action] = []
    for event in events:
        step = TABLE[phase, event]
        phase = step.phase
        actions += step.actions
    return phase, actions


@given(others)
def test_a_job_ends_when_its_tree_is_empty_and_not_before(events: list[Event]) -> None:
    assert run(events)[0] is not Phase.ENDED
    phase, actions = run([*events, Event.TREE_EMPTY])
    assert phase is Phase.ENDED
    assert actions.count(Action.FINISH) == 1
    assert actions[-1] is Action.FINISH


@given(others, st.lists(st.sampled_from(Event)))
def test_after_the_end_nothing_is_done(before: list[Event], after: list[Event]) -> None:
    ended = [*before, Event.TREE_EMPTY]
    assert run([*ended, *after]) == run(ended)


@given(others)
def test_b6_there_is_one_signal_and_one_grace_however_often_a_job_is_stopped(events: list[Event]) -> None:
    _, actions = run(events)
    assert actions.count(Action.SIGNAL_GROUP) <= 1
    assert actions.count(Action.START_GRACE) <= 1


@given(others)
def test_b2_nothing_is_killed_before_its_grace_is_over(events: list[Event]) -> None:
    begun = False
    phase = Phase.RUNNING
    for event in events:
        step = TABLE[phase, event]
        if Action.KILL_TREE in step.actions:
            assert begun
            assert event is Event.GRACE_OVER or phase is Phase.KILLING
        begun = begun or Action.START_GRACE in step.actions
        phase = step.phase


@given(others)
def test_b2_whatever_happened_a_stop_and_the_end_of_patience_kill(events: list[Event]) -> None:
    phase, actions = run([*events, Event.STOP_ASKED, Event.GRACE_OVER])
    assert phase is Phase.KILLING
    assert actions[-1] is Action.KILL_TREE
