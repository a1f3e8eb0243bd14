from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gproc.worker.tree import children, descendants, kill_bearers, session, signal_each, start_ticks

MANY = 1200
"""More than the kernel shows in one page of ``/proc/PID/task/TID/children``."""

_PARENT = f"""
import os, signal
for _ in range({MANY}):
    if os.fork() == 0:
        signal.pause()
print("ready", flush=True)
try:
    input()
finally:
    os.killpg(0, signal.SIGKILL)
"""

_FAMILY = """
import os, signal
if (child := os.fork()) == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        os.setsid()
        print(os.getppid(), os.getpid(), flush=True)
    signal.pause()
os.waitpid(child, 0)
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int, int]]:
    """A process that leads a session, a child of it in a group of its own, and a child of that, in no session of it."""
    with subprocess.Popen([sys.executable, "-c", _FAMILY], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        child, grandchild = map(int, leader.stdout.readline().split())
        yield leader.pid, child, grandchild
        signal_each([grandchild, child], signal.SIGKILL)


def test_b5_descendants_are_of_all_generations_parents_before_children(family: tuple[int, int, int]) -> None:
    leader, child, grandchild = family
    assert descendants(leader) == [child, grandchild]
    assert set(family) <= set(descendants(os.getpid()))


def test_a_session_is_its_leader_and_those_who_did_not_leave_it(family: tuple[int, int, int]) -> None:
    leader, child, grandchild = family
    assert set(session(leader)) == {leader, child}
    assert session(grandchild) == [grandchild]
    assert session(child) == []


def test_signals_reach_the_living_whoever_of_them_is_gone(family: tuple[int, int, int]) -> None:
    leader, child, grandchild = family
    with subprocess.Popen(["true"]) as gone:
        pass
    assert signal_each([gone.pid, grandchild, child], signal.SIGKILL) == []
    os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)  # it waited for its child
    assert descendants(leader) == []


def test_a_process_is_the_same_as_long_as_it_was_started_at_the_same_time() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        ticks = start_ticks(process.pid)
        assert ticks == start_ticks(process.pid) != start_ticks(1)
    assert start_ticks(process.pid) is None


def test_only_who_was_executed_with_just_that_variable_is_killed() -> None:
    variables = ("ONE", "ONES", "ON", "TWO")
    bearers = [
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"GPROC_TEST_BEARER": value, "LAST": "1"})
        for value in variables
    ]
    try:
        assert kill_bearers("GPROC_TEST_BEARER=ONE") == 1
        assert bearers[0].wait() == -signal.SIGKILL
    finally:
        for bearer in bearers:
            bearer.communicate()
    assert [bearer.returncode for bearer in bearers[1:]] == [0, 0, 0]
    assert kill_bearers("GPROC_TEST_BEARER=ONE") == 0


def test_b5_a_process_with_very_many_children_has_none_that_is_not_seen() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert len(set(children(parent.pid))) == MANY
        assert len(descendants(parent.pid)) == MANY
        parent.communicate()
