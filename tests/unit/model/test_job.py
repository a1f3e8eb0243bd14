from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import timedelta
from signal import Signals
from typing import Any

import pytest

from gproc.errors import InvalidArgument
from gproc.model import JobRequest, JobState, JobStatus, Limits, StopPolicy, TerminalSize
from gproc.model.job import arguments_of


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("command", lambda: JobRequest(command="")),
        ("command", lambda: JobRequest(command="a\0b")),
        ("args", lambda: JobRequest(command="a", args=("b", "c\0"))),
        ("args", lambda: JobRequest(command="a", args=("\ud800",))),
        ("args", lambda: JobRequest(command="a", args=("",) * 10_001)),
        ("env", lambda: JobRequest(command="a", env={"": "x"})),
        ("env", lambda: JobRequest(command="a", env={"A=B": "x"})),
        ("env", lambda: JobRequest(command="a", env={"A\0": "x"})),
        ("env", lambda: JobRequest(command="a", env={"A": "x\0"})),
        ("working_directory", lambda: JobRequest(command="a", working_directory="/\0")),
        ("name", lambda: JobRequest(command="a", name="n" * 257)),
        ("request_id", lambda: JobRequest(command="a", request_id="n" * 257)),
        ("timeout", lambda: JobRequest(command="a", timeout=timedelta(seconds=-1))),
        ("stop.grace", lambda: StopPolicy(grace=timedelta(microseconds=-1))),
        ("limits.processes", lambda: Limits(processes=-1)),
        ("limits.memory_bytes", lambda: Limits(memory_bytes=2**63)),
        ("tty.rows", lambda: TerminalSize(rows=0)),
        ("tty.columns", lambda: TerminalSize(columns=65_536)),
    ],
)
def test_a2_a_request_that_could_never_run_names_its_field(field: str, make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def test_what_is_just_within_the_bounds_is_taken() -> None:
    JobRequest(command="a", args=("",) * 10_000, name="n" * 256, request_id="n" * 256, timeout=timedelta(0))
    StopPolicy(grace=timedelta(0))
    Limits(processes=0, memory_bytes=2**63 - 1)
    TerminalSize(rows=1, columns=65_535)


def test_who_only_names_a_program_has_ten_seconds_of_grace_and_nothing_else() -> None:
    request = JobRequest(command="a")
    assert request == JobRequest(
        command="a",
        timeout=None,
        stop=StopPolicy(signal=Signals.SIGTERM, grace=timedelta(seconds=10)),
        stdin=False,
        tty=None,
        limits=Limits(),
    )


def test_an_empty_argument_and_an_empty_value_are_fine() -> None:
    request = JobRequest(command="a", args=("",), env={"A": ""})
    assert (request.args, request.env) == (("",), {"A": ""})


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        JobRequest(command="a").command = "b"  # type: ignore[misc]  # that is what is tested


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (JobStatus(id="i", owner="o", state=JobState.EXITED, command="c", exit_code=0), 0),
        (JobStatus(id="i", owner="o", state=JobState.EXITED, command="c", exit_code=143), 143),
        (JobStatus(id="i", owner="o", state=JobState.STOPPED, command="c", signal="SIGTERM"), 143),
        (JobStatus(id="i", owner="o", state=JobState.SIGNALED, command="c", signal="SIG40"), 168),
        (JobStatus(id="i", owner="o", state=JobState.LOST, command="c"), 125),
    ],
)
def test_c2_the_code_is_that_of_a_shell_and_125_if_nobody_knows(status: JobStatus, code: int) -> None:
    assert status.shell_code == code


def test_three_states_are_not_final() -> None:
    assert {state for state in JobState if not state.is_final} == {
        JobState.PENDING,
        JobState.RUNNING,
        JobState.STOPPING,
    }


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("command", {"command": 7}),
        ("args", {"args": ("1", 2)}),
        ("args", {"args": "notalist"}),
        ("env", {"env": {"A": 1}}),
        ("env", {"env": {1: "A"}}),
        ("name", {"name": 5}),
        ("request_id", {"request_id": b"5"}),
        ("labels", {"labels": {"a": 1}}),
        ("labels", {"labels": ["a"]}),
        ("timeout", {"timeout": 5}),
        ("stop", {"stop": 5}),
        ("stdin", {"stdin": "no"}),
        ("tty", {"tty": True}),
        ("limits", {"limits": {"memory_bytes": 1}}),
    ],
)
def test_what_is_not_of_its_kind_is_named(field: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: must be "):
        JobRequest(**{"command": "ls", **wrong})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (StopPolicy, "stop.signal", "TERM"),
        (StopPolicy, "stop.grace", 5),
        (Limits, "limits.memory_bytes", "64M"),
        (Limits, "limits.cpu_seconds", 1.5),
        (Limits, "limits.processes", True),
        (Limits, "limits.output_policy", "drop"),
        (TerminalSize, "tty.rows", "24"),
    ],
)
def test_so_is_what_is_not_of_its_kind_in_a_part_of_a_request(kind: Any, field: str, value: object) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{field}: must be .*, not {re.escape(repr(value))}$"):
        kind(**{field.partition(".")[2]: value})


@pytest.mark.parametrize("args", ["notalist", b"bytes", 7])
def test_arguments_are_not_the_letters_of_one_text(args: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^args: must be a list of texts"):
        arguments_of(args)
