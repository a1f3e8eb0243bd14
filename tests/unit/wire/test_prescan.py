from __future__ import annotations

import time
from datetime import timedelta

import betterproto
import pytest
from betterproto.lib.google.protobuf import Duration, Timestamp

from gproc.errors import InvalidArgument
from gproc.transport.job_output import varint
from gproc.wire import METHODS, messages
from gproc.wire.classes import schema_of
from gproc.wire.prescan import Bounds, scan
from gproc.wire.schema import Schema

BOUNDS = Bounds(size=128 * 1024, elements=12_000)
REQUEST = schema_of(messages.JobRequest)


def refused(data: bytes, kind: type[betterproto.Message] = messages.JobRequest) -> str:
    with pytest.raises(InvalidArgument) as caught:
        scan(data, schema_of(kind), BOUNDS)
    return str(caught.value)


def test_a_good_message_is_passed_on_as_the_very_same_object() -> None:
    data = bytes(messages.JobRequest(command="x", args=["a", "b"], env={"k": "v"}))
    assert scan(data, REQUEST, BOUNDS) is data
    assert scan(b"", REQUEST, BOUNDS) == b""


@pytest.mark.parametrize(
    "unknown",
    [b"\xf8\x07\x01", b"\xf9\x0712345678", b"\xfa\x07\x03abc", b"\xfd\x071234", b"\xf8\xff\xff\xff\x0f\x01"],
    ids=["varint", "fixed64", "bytes", "fixed32", "largest number"],
)
def test_unknown_fields_are_cut_out_wherever_they_are(unknown: bytes) -> None:
    data = unknown + b"\x0a\x01x" + unknown + b"\x12\x01y" + unknown
    assert scan(data, REQUEST, BOUNDS) == b"\x0a\x01x\x12\x01y"


def test_unknown_fields_are_cut_out_of_messages_within() -> None:
    inner = b"\x0a\x03HUP" + b"\xfa\x07\xc8\x01" + b"x" * 200
    data = b"\x0a\x01x" + b"\x4a\xd1\x01" + inner + b"\x50\x01"
    stripped = scan(data, REQUEST, BOUNDS)
    assert stripped == b"\x0a\x01x\x4a\x05\x0a\x03HUP\x50\x01"
    assert messages.JobRequest().parse(stripped).stop.signal == "HUP"


def test_unknown_fields_cost_linear_time() -> None:
    many = b"\xfa\x07\x07" + b"x" * 7
    small, large = many * 1_000, many * 11_000

    def cost(data: bytes) -> float:
        best = 1.0
        for _ in range(5):
            started = time.process_time()
            assert scan(data, REQUEST, BOUNDS) == b""
            best = min(best, time.process_time() - started)
        return best

    assert cost(large) < 40 * cost(small)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x08\x01", "command: is sent as wire type 0, and is 2"),
        (b"\x0d1234", "command: is sent as wire type 5"),
        (b"\x52\x01x", "stdin: is sent as wire type 2, and is 0"),
        (b"\x0b\x0c", "command: is sent as wire type 3"),
        (b"\x0f", "command: is sent as wire type 7"),
        (b"\xfb\x07", "JobRequest: has a field of wire type 3"),
        (b"\x02\x00", "JobRequest: has a field with the impossible number 0"),
        (b"\x82\x80\x80\x80\x10\x00", "JobRequest: has a field with the impossible number 536870912"),
        (b"\x0a\x05abc", "command: is cut off: 2 bytes are missing"),
        (b"\xf9\x07123", "JobRequest: is cut off: 5 bytes are missing"),
        (b"\x8a", "JobRequest: ends in the middle of a number"),
        (b"\x0a", "command: ends in the middle of a number"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "command: is cut off"),
        (b"\x50" + b"\xff" * 9 + b"\x02", "stdin: .* is more than 18446744073709551615"),
        (b"\x50" + b"\x80" * 10 + b"\x01", "stdin: has a number that never ends"),
        (b"\x5a\x06\x08\xff\xff\xff\xff\x1f", r"tty\.rows: 8589934591 is more than 4294967295"),
        (b"\x0a\x02\xc3\x28", "command: is not UTF-8"),
        (b"\x0a\x03\xed\xb2\x80", "command: is not UTF-8"),
        (b"\x1a\x04\x0a\x02\xc3\x28", r"env\.key: is not UTF-8"),
        (b"\x1a\x02\x08\x01", r"env\.key: is sent as wire type 0"),
        (b"\x4a\x03\x0a\x05a", r"stop\.signal: is cut off"),
        (b"\x4a\x02\xfb\x07", "stop: has a field of wire type 3"),
        (b"\x42\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", r"timeout: \d+ s and 0 ns are out"),
        (b"\x42\x06\x10\x80\x94\xeb\xdc\x03", "timeout: 0 s and 1000000000 ns are out of range"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_by_the_name_of_its_field(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{problem}"):
        scan(data, REQUEST, BOUNDS)


@pytest.mark.parametrize(
    ("seconds", "is_good"),
    [
        (-62_135_596_801, False),
        (-62_135_596_800, True),
        (0, True),
        (253_402_300_799, True),
        (253_402_300_800, False),
        (2**63 - 1, False),
        (-(2**63), False),
    ],
)
def test_moments_outside_the_calendar_are_refused(seconds: int, is_good: bool) -> None:
    moment = bytes(Timestamp(seconds=seconds))
    data = b"\x3a" + bytes((len(moment),)) + moment
    if is_good:
        assert messages.GetOutputRequest().parse(scan(data, schema_of(messages.GetOutputRequest), BOUNDS)).since
    else:
        assert refused(data, messages.GetOutputRequest).startswith(f"since: {seconds} s and 0 ns are out of range")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_duration_of_more_than_ten_thousand_years_is_refused(sign: int) -> None:
    longest, longer = (bytes(Duration(seconds=sign * seconds)) for seconds in (315_576_000_000, 315_576_000_001))
    data = b"\x42" + bytes((len(longest),)) + longest
    assert scan(data, REQUEST, BOUNDS) is data
    assert "s and 0 ns are out of range" in refused(b"\x42" + bytes((len(longer),)) + longer)


@pytest.mark.parametrize(("nanos", "is_good"), [(0, True), (1, False), (999, False), (-1, False), (1000, True)])
def test_a_duration_that_would_become_none_is_refused(nanos: int, is_good: bool) -> None:
    duration = bytes(Duration(nanos=nanos))
    another_part = b"\x5a\x02\x08\x05"  # whose numbers are not those of the duration
    data = another_part + b"\x42" + bytes((len(duration),)) + duration
    if is_good:
        assert messages.JobRequest().parse(scan(data, REQUEST, BOUNDS)).timeout == timedelta(microseconds=nanos / 1000)
    else:
        assert refused(data) == f"timeout: {nanos} ns are too little; the least is 1000 ns"


def test_lists_of_numbers_come_one_by_one_or_as_a_block() -> None:
    schema = schema_of(messages.ListRequest)
    for data in (b"\x18\x01\x18\x02", b"\x1a\x02\x01\x02"):
        assert messages.ListRequest().parse(scan(data, schema, BOUNDS)).states == [1, 2]
    assert refused(b"\x1a\x02\x01\x80", messages.ListRequest).startswith("states: ends in the middle")
    assert refused(b"\x19\x01\x01", messages.ListRequest).startswith("states: is sent as wire type 1")


def test_a_message_of_just_the_largest_size_is_taken() -> None:
    data = bytes(messages.JobRequest(command="x" * (BOUNDS.size - 4)))
    assert len(data) == BOUNDS.size
    assert scan(data, REQUEST, BOUNDS) is data


def test_a_larger_message_is_refused_without_a_look() -> None:
    assert "131073 bytes are more than a message may have (131072)" in refused(b"\xff" * (BOUNDS.size + 1))


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (b"\x12\x00", "args"),
        (b"\x0a\x00", "command"),
        (b"\x1a\x00", "env"),
        (b"\x4a\x00", "stop"),
        (b"\x42\x00", "timeout"),
        (b"\xf8\x07\x00", "JobRequest"),
    ],
)
def test_a_message_of_too_many_elements_is_refused(item: bytes, field: str) -> None:
    said = f"{field}: the message has more than 12000 elements, all its lists and maps together; send fewer"
    assert refused(item * (BOUNDS.size // len(item))) == said


def test_so_is_a_block_of_too_many_numbers() -> None:
    block = bytes(BOUNDS.elements + 1)
    said = refused(b"\x1a" + varint(len(block)) + block, messages.ListRequest)
    assert said.startswith("states: the message has more than 12000 elements")


def test_and_too_many_blocks_of_no_numbers() -> None:
    said = refused(b"\x1a\x00" * (BOUNDS.size // 2), messages.ListRequest)
    assert said.startswith("states: the message has more than 12000 elements")


def test_a_message_of_just_as_many_elements_as_it_may_have_is_taken() -> None:
    data = b"\x12\x00" * BOUNDS.elements
    assert scan(data, REQUEST, BOUNDS) is data
    assert refused(data + b"\x12\x00").startswith("args: the message has more than 12000 elements")


def test_a_variable_counts_for_as_many_arguments_as_it_costs() -> None:
    variables = b"\x1a\x06\x0a\x01k\x12\x01v" * (BOUNDS.elements // 16)
    assert scan(variables, REQUEST, BOUNDS) is variables
    assert refused(variables + b"\x12\x01a").startswith("args: the message has more than 12000 elements")


def test_as_many_arguments_as_a_job_may_have_are_taken() -> None:
    assert len(messages.JobRequest().parse(scan(b"\x0a\x01x" + b"\x12\x01a" * 10_000, REQUEST, BOUNDS)).args) == 10_000


@pytest.mark.parametrize("name", METHODS)
def test_messages_lie_within_each_other_to_a_fixed_depth(name: str) -> None:
    method = METHODS[name]
    kinds: list[type[betterproto.Message]] = [method.request, method.reply]
    assert all(depth(schema_of(kind)) <= 3 for kind in kinds)


def depth(schema: Schema) -> int:
    """Return how many messages can lie within each other, this one included."""
    return 1 + max((depth(field.message) for field in schema.fields.values() if field.message), default=0)
