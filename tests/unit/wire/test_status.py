from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gproc import errors
from gproc.wire import StatusDetailsCodec, from_grpc_error, to_grpc_error
from gproc.wire.status import Detail

CODEC = StatusDetailsCodec()


def kinds(kind: type[errors.GprocError] = errors.GprocError) -> Iterator[type[errors.GprocError]]:
    for child in kind.__subclasses__():
        if child.__module__ == "gproc.errors":
            yield child
        yield from kinds(child)


def make(kind: type[errors.GprocError]) -> errors.GprocError:
    if kind is errors.InvalidArgument:
        return errors.InvalidArgument("args", "too many: 5")
    if issubclass(kind, errors.StartFailed):
        return kind("sh: cannot be executed; check its mode", errno.EACCES)
    return kind("job 4f2a: says what, which and what now")


def over_the_wire(error: errors.GprocError) -> errors.GprocError:
    sent = to_grpc_error(error)
    packed = CODEC.encode(sent.status, sent.message, sent.details)
    return from_grpc_error(GRPCError(sent.status, sent.message, CODEC.decode(sent.status, sent.message, packed)))


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_comes_back_as_itself(kind: type[errors.GprocError]) -> None:
    error = make(kind)
    back = over_the_wire(error)
    assert type(back) is kind
    assert str(back) == str(error)
    assert vars(back) == vars(error)
    assert to_grpc_error(error).status.name == kind.grpc_status


def test_the_system_reason_of_a_failed_start_survives() -> None:
    back = over_the_wire(errors.CommandNotFound("nosuch: no such program", errno.ENOENT))
    assert isinstance(back, errors.CommandNotFound)
    assert (back.errno, back.exit_code) == (errno.ENOENT, 127)


def test_any_grpc_client_can_read_the_detail() -> None:
    sent = to_grpc_error(errors.CommandNotFound("nosuch: no such program", 2))
    packed = CODEC.encode(sent.status, sent.message, sent.details)
    rpc = google_rpc()
    status = rpc["Status"].FromString(packed)
    assert (status.code, status.message) == (9, "nosuch: no such program")
    (container,) = status.details
    assert container.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    info = rpc["ErrorInfo"].FromString(container.value)
    assert (info.reason, info.domain, dict(info.metadata)) == ("COMMAND_NOT_FOUND", "gproc", {"errno": "2"})


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_status_without_a_detail_still_becomes_an_error_with_its_text(status: Status) -> None:
    back = from_grpc_error(GRPCError(status, "args: from elsewhere"))
    assert str(back) == "args: from elsewhere"
    assert back.grpc_status in {status.name, "UNAVAILABLE", "INTERNAL"}


def test_a_foreign_invalid_argument_names_its_field_by_its_text() -> None:
    back = from_grpc_error(GRPCError(Status.INVALID_ARGUMENT, "offset: too large"))
    assert isinstance(back, errors.InvalidArgument)
    assert back.field == "offset"


def test_a_status_without_any_text_says_so() -> None:
    assert str(from_grpc_error(GRPCError(Status.UNAVAILABLE))) == "the server answered UNAVAILABLE and no more"


def test_a_detail_that_contradicts_the_code_is_not_believed() -> None:
    back = from_grpc_error(GRPCError(Status.INTERNAL, "x", Detail("JOB_NOT_FOUND", {"job_id": "y"})))
    assert type(back) is errors.InternalError


@pytest.mark.parametrize("nonsense", ["", "²", "٣", "-1", "9" * 10, "9" * 5_000])
def test_a_detail_with_nonsense_for_a_number_is_harmless(nonsense: str) -> None:
    back = from_grpc_error(GRPCError(Status.FAILED_PRECONDITION, "x", Detail("START_FAILED", {"errno": nonsense})))
    assert isinstance(back, errors.StartFailed)
    assert back.errno == 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x1a\x02\x12\x01", b"\x1a\x05\x12\x03\x0a\x01\xff", b"\x08\x01" * 99])
def test_details_that_are_not_ours_are_left_alone(data: bytes) -> None:
    assert CODEC.decode(Status.INTERNAL, "x", data) is None


def test_our_detail_is_found_beside_those_of_others_whatever_they_hold() -> None:
    sent = to_grpc_error(errors.CommandNotFound("nosuch: no such program", 2))
    ours = CODEC.encode(sent.status, sent.message, sent.details)
    foreign = google_rpc()["Status"]()
    foreign.details.add(type_url="type.googleapis.com/google.rpc.Foreign", value=b"\xff")
    info = google_rpc()["ErrorInfo"](reason="JOB_LOST", domain="elsewhere").SerializeToString()
    foreign.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info)
    assert CODEC.decode(sent.status, sent.message, foreign.SerializeToString() + ours) == sent.details


def test_a_status_without_a_detail_can_be_written() -> None:
    assert google_rpc()["Status"].FromString(CODEC.encode(Status.INTERNAL, None, None)).code == 13


def test_long_texts_are_cut_for_they_travel_in_headers() -> None:
    sent = to_grpc_error(errors.StartFailed("x" * 100_000))
    assert sent.message is not None
    assert len(sent.message) == 2_000
    assert sent.message.endswith("x...")


def google_rpc() -> dict[str, Any]:
    """Google's messages, as its own documentation declares them, for protobuf's own decoder."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="status.proto", package="google.rpc", syntax="proto3", dependency=["google/protobuf/any.proto"]
    )
    status = file.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    status.field.add(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    status.field.add(
        name="details",
        number=3,
        type=field.TYPE_MESSAGE,
        type_name=".google.protobuf.Any",
        label=field.LABEL_REPEATED,
    )
    info = file.message_type.add(name="ErrorInfo")
    info.field.add(name="reason", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    info.field.add(name="domain", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry = info.nested_type.add(name="MetadataEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    info.field.add(
        name="metadata",
        number=3,
        type=field.TYPE_MESSAGE,
        type_name=".google.rpc.ErrorInfo.MetadataEntry",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    names = ("Status", "ErrorInfo")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}")) for name in names}
