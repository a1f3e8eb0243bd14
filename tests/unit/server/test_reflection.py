from __future__ import annotations

from typing import Any

import pytest
from grpclib.const import Status

from gproc.server.reflection import answer
from gproc.wire.standard import descriptor_files, reflection, reflection_v1alpha


def ask(version: Any = reflection, **question: Any) -> Any:
    return answer(version.ServerReflectionRequest(host="here", **question), version)


def files_of(reply: Any) -> list[bytes]:
    return list(reply.file_descriptor_response.file_descriptor_proto)


@pytest.mark.parametrize("version", [reflection, reflection_v1alpha], ids=["v1", "v1alpha"])
def test_all_services_are_listed_in_both_versions(version: Any) -> None:
    reply = ask(version, list_services="*")
    assert isinstance(reply, version.ServerReflectionResponse)
    assert [service.name for service in reply.list_services_response.service] == [
        "gproc.v1.JobService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


def test_the_question_comes_back_with_the_answer() -> None:
    reply = ask(file_by_filename="gproc/v1/jobs.proto")
    assert (reply.valid_host, reply.original_request.file_by_filename) == ("here", "gproc/v1/jobs.proto")


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("gproc.v1.JobService", "gproc/v1/jobs.proto"),
        ("gproc.v1.JobService.GetOutput", "gproc/v1/jobs.proto"),
        ("gproc.v1.JobOutput", "gproc/v1/jobs.proto"),
        ("gproc.v1.JobOutput.data", "gproc/v1/jobs.proto"),
        ("gproc.v1.JobState", "gproc/v1/jobs.proto"),
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
        ("grpc.reflection.v1alpha.ServerReflectionRequest.message_request", "grpc/reflection/v1alpha/reflection.proto"),
    ],
)
def test_a_symbol_is_found_in_its_file(symbol: str, file: str) -> None:
    assert (
        files_of(ask(file_containing_symbol=symbol))
        == files_of(ask(file_by_filename=file))
        == [descriptor_files()[file]]
    )


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "../../etc/passwd"},
        {"file_containing_symbol": "gproc.v1.Nothing"},
        {"all_extension_numbers_of_type": "gproc.v1.Nothing"},
        {"file_containing_extension": reflection.ExtensionRequest("gproc.v1.JobStatus", 100)},
    ],
)
def test_what_is_not_there_is_not_found(question: dict[str, Any]) -> None:
    assert ask(**question).error_response.error_code == Status.NOT_FOUND.value


def test_a_message_has_no_extensions() -> None:
    reply = ask(all_extension_numbers_of_type="gproc.v1.JobStatus").all_extension_numbers_response
    assert (reply.base_type_name, reply.extension_number) == ("gproc.v1.JobStatus", [])


def test_a_request_without_a_question_is_invalid() -> None:
    assert ask().error_response.error_code == Status.INVALID_ARGUMENT.value
