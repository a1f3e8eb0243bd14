from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from signal import Signals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.model import (
    JobRequest,
    JobState,
    JobStatus,
    Limits,
    OutputPolicy,
    StopPolicy,
    TerminalSize,
    Usage,
)
from gproc.model.document import (
    format_time,
    parse_time,
    spec_from_document,
    spec_to_document,
    status_from_document,
    status_to_document,
)
from gproc.model.spec import JobSpec, RunAs

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_characters="\0=", exclude_categories=["Cs"]), min_size=1, max_size=20)
cells = st.integers(1, 65_535)
counts = st.integers(0, 2**63 - 1)
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given one
durations = st.timedeltas(timedelta(0), timedelta(days=10_000))

requests = st.builds(
    JobRequest,
    command=names,
    args=st.lists(texts, max_size=4).map(tuple),
    env=st.dictionaries(names, texts, max_size=3),
    working_directory=texts,
    name=texts,
    labels=st.dictionaries(names, texts, max_size=3),
    request_id=texts,
    timeout=st.none() | durations,
    stop=st.builds(StopPolicy, signal=st.sampled_from(Signals), grace=durations),
    stdin=st.booleans(),
    tty=st.none() | st.builds(TerminalSize, rows=cells, columns=cells),
    limits=st.builds(
        Limits,
        memory_bytes=st.none() | counts,
        open_files=st.none() | counts,
        output_bytes=st.none() | counts,
        output_policy=st.none() | st.sampled_from(OutputPolicy),
    ),
)
specs = st.builds(
    JobSpec,
    id=names,
    owner=names,
    request=requests,
    created_at=times,
    nonce=names,
    run_as=st.none()
    | st.builds(
        RunAs,
        user=names,
        uid=counts,
        gid=counts,
        groups=st.lists(counts, max_size=3).map(tuple),
        home=texts,
    ),
    reserve_bytes=counts,
    cgroup=texts,
)
statuses = st.builds(
    JobStatus,
    id=names,
    owner=names,
    state=st.sampled_from(JobState),
    command=names,
    args=st.lists(texts, max_size=4).map(tuple),
    name=texts,
    labels=st.dictionaries(names, texts, max_size=3),
    pid=st.none() | counts,
    exit_code=st.none() | st.integers(0, 255),
    signal=texts,
    reason=texts,
    created_at=st.none() | times,
    started_at=st.none() | times,
    ended_at=st.none() | times,
    output_bytes=counts,
    dropped_bytes=counts,
    stopped_by=texts,
    usage=st.none() | st.builds(Usage, cpu_seconds=st.floats(0, 1e9), max_rss_bytes=counts),
    limits=st.dictionaries(names, names, max_size=3),
)


@given(specs)
def test_an_accepted_job_is_the_same_after_a_round_trip_through_json(spec: JobSpec) -> None:
    assert spec_from_document(json.loads(json.dumps(spec_to_document(spec)))) == spec


@given(statuses)
def test_a_status_is_the_same_after_a_round_trip_through_json(status: JobStatus) -> None:
    assert status_from_document(json.loads(json.dumps(status_to_document(status)))) == status


def test_what_is_absent_is_left_out_and_zero_is_not() -> None:
    status = JobStatus(id="i", owner="o", state=JobState.EXITED, command="c", exit_code=0)
    assert status_to_document(status) == {
        "id": "i",
        "owner": "o",
        "state": "exited",
        "command": "c",
        "exit_code": 0,
        "output_bytes": 0,
        "dropped_bytes": 0,
    }


def test_times_are_written_in_utc_to_the_microsecond() -> None:
    noon = datetime(2024, 5, 6, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(noon) == "2024-05-06T10:00:00.000000Z"
    assert parse_time("2024-05-06T10:00:00Z") == noon


def test_e10_fields_of_a_newer_version_are_passed_over() -> None:
    spec = JobSpec(
        id="i",
        owner="o",
        request=JobRequest(command="c", tty=TerminalSize(), limits=Limits(processes=5)),
        created_at=datetime(2024, 5, 6, tzinfo=UTC),
        nonce="n",
        run_as=RunAs(user="u", uid=1, gid=1, groups=(), home="/"),
    )
    document = spec_to_document(spec)
    for holder in (document, document["run_as"], document["tty"], document["limits"], document["stop"]):
        holder["of_the_future"] = 1
    assert spec_from_document(document) == spec


def test_what_an_older_version_did_not_write_has_its_default() -> None:
    written = {"id": "i", "owner": "o", "command": "c"}
    born = {"created_at": "2024-05-06T00:00:00Z", "nonce": "n", "stop": {"signal": "SIGTERM", "grace": 10}}
    assert status_from_document(written | {"state": "running"}) == JobStatus(
        id="i", owner="o", state=JobState.RUNNING, command="c"
    )
    assert spec_from_document(written | born) == JobSpec(
        id="i", owner="o", request=JobRequest(command="c"), created_at=datetime(2024, 5, 6, tzinfo=UTC), nonce="n"
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": "i", "owner": "o", "state": "asleep", "command": "c"},
        {"id": "i", "owner": "o", "state": "exited", "command": "c", "ended_at": "yesterday"},
        {"id": "i", "owner": "o", "state": "exited", "command": "c", "started_at": 5},
        {"id": "i", "owner": "o", "state": "exited", "command": "c", "args": 5},
    ],
)
def test_a_document_that_holds_no_status_is_refused(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        status_from_document(document)
