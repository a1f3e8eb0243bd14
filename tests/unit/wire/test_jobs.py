from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from signal import Signals
from typing import Any

import pytest
from gproc_support.messages import message_of

from gproc.errors import InvalidArgument
from gproc.model import JobRequest, Limits, OutputPolicy, StopPolicy, TerminalSize
from gproc.wire import RequestCodec, messages, request_from_message
from gproc.wire.requests import request_to_bytes

FULL_REQUEST = JobRequest(
    command="ping",
    args=("-c", "", "grüße"),
    env={"A": "b", "C": ""},
    working_directory="/srv",
    name="n",
    labels={"k": "v"},
    request_id="r",
    timeout=timedelta(seconds=1, microseconds=5),
    stop=StopPolicy(signal=Signals.SIGINT, grace=timedelta(milliseconds=1)),
    stdin=True,
    tty=TerminalSize(rows=50, columns=132),
    limits=Limits(
        memory_bytes=1,
        processes=2,
        open_files=3,
        cpu_seconds=4,
        file_size_bytes=5,
        core_bytes=6,
        output_bytes=7,
        output_policy=OutputPolicy.STOP,
        cpu_millis=8,
        io_read_bps=9,
        io_write_bps=10,
    ),
)


def sent(message: Any) -> Any:
    codec = RequestCodec()
    return codec.decode(codec.encode(message, type(message)), type(message))


def asked(request: JobRequest) -> JobRequest:
    return request_from_message(RequestCodec().decode(request_to_bytes(request), messages.JobRequest))


def test_a_full_request_arrives_as_it_was() -> None:
    assert asked(FULL_REQUEST) == FULL_REQUEST


def test_a_request_is_written_as_betterproto_writes_it() -> None:
    assert request_to_bytes(FULL_REQUEST) == bytes(message_of(FULL_REQUEST))


def test_a_plain_request_arrives_as_it_was() -> None:
    assert asked(JobRequest(command="true")) == JobRequest(command="true")


def test_what_a_request_has_by_default_is_not_sent() -> None:
    assert request_to_bytes(JobRequest(command="true")) == bytes(messages.JobRequest(command="true"))


def test_parts_that_are_there_and_empty_say_as_little_as_absent_ones() -> None:
    empty_stop_and_limits = b"\x4a\x00\x62\x00"
    encoded = bytes(messages.JobRequest(command="true")) + empty_stop_and_limits
    decoded = RequestCodec().decode(encoded, messages.JobRequest)
    assert request_from_message(decoded) == JobRequest(command="true")


def test_what_is_absent_is_as_the_proto_says() -> None:
    assert request_from_message(sent(messages.JobRequest(command="true"))) == JobRequest(
        command="true",
        timeout=None,
        stop=StopPolicy(signal=Signals.SIGTERM, grace=timedelta(seconds=10)),
        tty=None,
        limits=Limits(),
    )


def test_no_grace_at_all_is_something_else_than_no_word_about_it() -> None:
    request = JobRequest(command="true", stop=StopPolicy(grace=timedelta(0)))
    assert asked(request).stop.grace == timedelta(0)


def test_a_timeout_of_zero_is_none() -> None:
    assert request_from_message(sent(messages.JobRequest(command="x", timeout=timedelta(0)))).timeout is None


@pytest.mark.parametrize("text", ["SIGHUP", "HUP", "hup", "1"])
def test_signals_have_names_and_numbers(text: str) -> None:
    message = messages.JobRequest(command="x", stop=messages.StopPolicy(signal=text))
    assert request_from_message(sent(message)).stop.signal is Signals.SIGHUP


def test_a_terminal_without_a_size_has_the_usual_one() -> None:
    encoded = bytes(messages.JobRequest(command="x")) + b"\x5a\x00"
    decoded = RequestCodec().decode(encoded, messages.JobRequest)
    assert request_from_message(decoded).tty == TerminalSize(rows=24, columns=80)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (messages.JobRequest(), "command"),
        (messages.JobRequest(command="a\0b"), "command"),
        (messages.JobRequest(command="a", args=["\0"]), "args"),
        (messages.JobRequest(command="a", env={"": "x"}), "env"),
        (messages.JobRequest(command="a", env={"A=B": "x"}), "env"),
        (messages.JobRequest(command="a", name="x" * 300), "name"),
        (messages.JobRequest(command="a", labels={"": ""}), "labels"),
        (messages.JobRequest(command="a", timeout=timedelta(seconds=-1)), "timeout"),
        (messages.JobRequest(command="a", stop=messages.StopPolicy(signal="FOO")), "stop.signal"),
        (messages.JobRequest(command="a", stop=messages.StopPolicy(grace=timedelta(seconds=-1))), "stop.grace"),
        (messages.JobRequest(command="a", tty=messages.TerminalSize(rows=70_000)), "tty.rows"),
        (messages.JobRequest(command="a", tty=messages.TerminalSize(columns=70_000)), "tty.columns"),
        (messages.JobRequest(command="a", limits=messages.Limits(open_files=2**63)), "limits.open_files"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_the_name_of_its_field(message: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        request_from_message(message)
    assert caught.value.field == field


def test_a_policy_from_the_future_is_refused() -> None:
    encoded = bytes(messages.JobRequest(command="x")) + b"\x62\x02\x40\x09"
    with pytest.raises(InvalidArgument, match=r"limits\.output_policy: 9 is not known"):
        request_from_message(RequestCodec().decode(encoded, messages.JobRequest))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(FULL_REQUEST, command="\udc80"), "command"),
        (replace(FULL_REQUEST, args=("ok", "\udc80")), "args"),
        (replace(FULL_REQUEST, env={"\udc80": ""}), "env"),
        (replace(FULL_REQUEST, labels={"k": "\udc80"}), "labels"),
        (replace(FULL_REQUEST, labels={"": ""}), "labels"),
    ],
)
def test_what_a_message_cannot_carry_is_refused_before_it_is_sent(request_: JobRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        request_to_bytes(request_)
    assert caught.value.field == field
