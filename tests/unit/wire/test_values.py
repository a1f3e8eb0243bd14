from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from gproc_support.messages import message_of

from gproc.errors import InvalidArgument
from gproc.model import JobPage, JobState, JobStatus, Usage
from gproc.wire import messages
from gproc.wire.classes import schema_of
from gproc.wire.output import GAP
from gproc.wire.prescan import Bounds
from gproc.wire.scalars import POLICIES, STATES, STREAMS
from gproc.wire.schema import Schema
from gproc.wire.values import (
    PAGE,
    REMOVED,
    STATUS,
    Removed,
    page_from_bytes,
    page_to_bytes,
    removed_from_bytes,
    status_from_bytes,
    status_to_bytes,
)

BOUNDS = Bounds(size=2**16, elements=10_000)
FULL_STATUS = JobStatus(
    id="0" * 36,
    owner="alice",
    state=JobState.EXITED,
    command="sh",
    args=("-c", "exit 7"),
    name="n",
    labels={"k": "v"},
    pid=42,
    exit_code=7,
    signal="",
    reason="it ended by itself",
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    started_at=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
    ended_at=datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC),
    output_bytes=2**40,
    dropped_bytes=3,
    stopped_by="bob",
    usage=Usage(cpu_seconds=0.25, max_rss_bytes=2**33),
    limits={"memory_bytes": "enforced"},
)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (STATUS, messages.JobStatus),
        (PAGE, messages.ListResponse),
        (REMOVED, messages.RemoveResponse),
        (GAP, messages.Gap),
    ],
)
def test_what_was_written_down_of_a_message_is_what_was_generated(schema: Schema, kind: type) -> None:
    assert schema == schema_of(kind)


def test_the_numbers_of_enumerations_are_those_of_the_proto() -> None:
    assert {number: state.name for number, state in STATES.items()} == {
        int(state): state.name for state in messages.JobState if state
    }
    assert {number: stream.name for number, stream in STREAMS.items()} == {
        int(stream): stream.name for stream in messages.Stream if stream
    }
    assert {number: policy.name if policy else "UNSPECIFIED" for number, policy in POLICIES.items()} == {
        int(policy): policy.name for policy in messages.OutputPolicy
    }


def told(status: JobStatus) -> JobStatus:
    return status_from_bytes(status_to_bytes(status), BOUNDS)


def test_a_full_status_arrives_as_it_was() -> None:
    assert told(FULL_STATUS) == FULL_STATUS


def test_a_status_is_written_as_betterproto_writes_it() -> None:
    assert status_to_bytes(FULL_STATUS) == bytes(message_of(FULL_STATUS))


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_a_number(state: JobState) -> None:
    status = JobStatus(id="0" * 36, owner="alice", state=state, command="x")
    assert told(status) == status
    assert messages.JobStatus().parse(status_to_bytes(status)).state.name == state.name


def test_an_exit_code_of_zero_is_something_else_than_none() -> None:
    killed = replace(FULL_STATUS, exit_code=None, signal="SIGKILL", state=JobState.SIGNALED)
    assert told(replace(FULL_STATUS, exit_code=0)).exit_code == 0
    assert told(killed).exit_code is None


def test_negative_exit_codes_arrive() -> None:
    assert told(replace(FULL_STATUS, exit_code=-5)).exit_code == -5


def test_a_status_with_undecodable_text_is_told_all_the_same() -> None:
    status = told(replace(FULL_STATUS, command="caf\udce9", args=("\udc80",), reason="no such file: caf\udce9"))
    assert (status.command, status.args, status.reason) == (r"caf\udce9", (r"\udc80",), r"no such file: caf\udce9")


@pytest.mark.parametrize("number", [0, 99])
def test_a_state_that_this_version_does_not_know_is_refused(number: int) -> None:
    message = message_of(FULL_STATUS)
    message.state = messages.JobState.try_value(number)
    with pytest.raises(InvalidArgument, match=f"state: {number} is not known to this version"):
        status_from_bytes(bytes(message), BOUNDS)


def test_a_page_arrives() -> None:
    page = JobPage(tuple(replace(FULL_STATUS, state=state) for state in JobState), "next")
    assert page_from_bytes(page_to_bytes(page), BOUNDS) == page


def test_a_page_of_long_jobs_goes_on_with_the_next_one() -> None:
    jobs = tuple(replace(FULL_STATUS, id=f"{n:036}", args=("x" * 2**17,)) for n in range(9, 0, -1))
    bounds = BOUNDS._replace(size=2**21)
    first = page_from_bytes(page_to_bytes(JobPage(jobs, "last")), bounds)
    assert first == JobPage(jobs[:7], jobs[6].id)
    assert page_from_bytes(page_to_bytes(JobPage(jobs[7:], "last")), bounds) == JobPage(jobs[7:], "last")


def test_a_job_that_is_longer_than_a_page_should_be_has_one_for_itself() -> None:
    long = replace(FULL_STATUS, args=("x" * 2**21,))
    page = page_from_bytes(page_to_bytes(JobPage((long, FULL_STATUS), "")), BOUNDS._replace(size=2**22))
    assert page == JobPage((long,), long.id)


def test_a_removal_has_an_answer_without_words() -> None:
    assert removed_from_bytes(bytes(messages.RemoveResponse()), BOUNDS) == Removed()
    assert removed_from_bytes(b"\xf8\x07\x01", BOUNDS) == Removed()  # what a later version may say
    with pytest.raises(InvalidArgument, match="RemoveResponse"):
        removed_from_bytes(b"\x08", BOUNDS)
