from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from gproc_bench.processes import CallFailed, Driver, LineReader, children_of, cpu_seconds_of, end, marked, memory
from gproc_support.waiting import soon

ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"error": "cannot"} if asked["do"] == "fail" else asked), flush=True)
"""


def test_a_driver_answers_what_it_is_asked() -> None:
    with ExitStack() as stack:
        driver = Driver(stack, "echo", [sys.executable, "-c", ECHO], dict(os.environ))

        assert driver.ask("say", limit=20, word="x") == {"do": "say", "word": "x"}
        with pytest.raises(CallFailed, match="echo: fail: cannot"):
            driver.ask("fail", limit=20)


def test_a_driver_that_has_ended_says_so_and_is_reaped() -> None:
    with ExitStack() as stack:
        driver = Driver(stack, "gone", [sys.executable, "-c", "pass"], dict(os.environ))
        pid = driver.pid

        with pytest.raises(CallFailed, match="gone"):
            driver.ask("anything", limit=20)

    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_reader_of_lines_waits_no_longer_than_it_may() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(CallFailed, match="no answer within 0"):
            LineReader(reading, "somebody").line(0.01)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_process_is_found_by_its_mark_with_its_children_and_is_gone_after_end() -> None:
    # The child says itself that it is there: while it is being executed, it has no environment yet.
    child_program = ["sh", "-c", "echo $$; read never"]
    program = f"import subprocess; subprocess.Popen({child_program}, stdin=subprocess.PIPE).wait()"
    mark = f"GPROC_TEST_MARK={os.getpid()}-family"
    env = {**os.environ, mark.partition("=")[0]: mark.partition("=")[2]}
    process = subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        child = int(LineReader(process.stdout.fileno(), "parent").line(20))

        assert children_of([process.pid]) == {process.pid, child}
        assert marked(mark) == {process.pid, child}
        assert memory(process.pid, "Pss") > 0
    finally:
        end(process)
    assert process.pid not in marked(mark)
    soon(lambda: not marked(mark))  # the child's input came from its parent, so now it ends


def test_processor_time_is_measured_and_the_code_is_kept() -> None:
    code, seconds = cpu_seconds_of([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ))

    assert code == 3
    assert 0 < seconds < 20
