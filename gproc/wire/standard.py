"""The services that every gRPC server is asked for: health and reflection, as messages and descriptions.

Messages of our own generation, because those of the ``protobuf`` package live in one registry for the whole process:
an embedded server would clash with any other health service there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import betterproto
from betterproto.lib.google.protobuf import DescriptorProto, FileDescriptorProto
from grpclib.const import Cardinality

from gproc.wire._generated.grpc.health import v1 as health
from gproc.wire._generated.grpc.reflection import v1 as reflection
from gproc.wire._generated.grpc.reflection import v1alpha as reflection_v1alpha
from gproc.wire.methods import Method

__all__ = [
    "HEALTH_METHODS",
    "REFLECTION_METHODS",
    "descriptor_files",
    "descriptor_symbols",
    "health",
    "question_of",
    "reflection",
    "reflection_v1alpha",
]

_HEALTH = "grpc.health.v1.Health"
HEALTH_METHODS: Mapping[str, Method[Any, Any]] = MappingProxyType(
    {
        name: Method(name, cardinality, health.HealthCheckRequest, health.HealthCheckResponse, _HEALTH)
        for name, cardinality in (("Check", Cardinality.UNARY_UNARY), ("Watch", Cardinality.UNARY_STREAM))
    }
)
REFLECTION_METHODS: Mapping[Any, Method[Any, Any]] = MappingProxyType(
    {
        version: Method(
            "ServerReflectionInfo",
            Cardinality.STREAM_STREAM,
            version.ServerReflectionRequest,
            version.ServerReflectionResponse,
            f"grpc.reflection.{version.__name__.rpartition('.')[2]}.ServerReflection",
        )
        for version in (reflection, reflection_v1alpha)
    }
)
"""The one rpc of each version of reflection, by its module of messages."""


def question_of(request: Any) -> tuple[str, Any]:
    """Return which field of a reflection request is set, and its value; an empty name if none is."""
    return betterproto.which_one_of(request, "message_request")


@cache
def descriptor_files() -> Mapping[str, bytes]:
    """Return every file of ``proto/`` and what they need, by name, as serialised ``FileDescriptorProto``."""
    everything = files("gproc.wire").joinpath("_generated/jobs.binpb").read_bytes()
    return MappingProxyType({_described(raw).name: raw for raw in _split(everything)})


@cache
def descriptor_symbols() -> Mapping[str, str]:
    """Return the name of the file that describes each service, rpc, message, field and enum, by full name."""
    return MappingProxyType({symbol: name for name, raw in descriptor_files().items() for symbol in _symbols(raw)})


def _split(everything: bytes) -> Iterator[bytes]:
    """Yield the files of a ``FileDescriptorSet`` as they are: it is a sequence of field 1."""
    at = 0
    while at < len(everything):
        length, at = betterproto.decode_varint(everything, at + 1)
        yield everything[at : at + length]
        at += length


def _described(raw: bytes) -> FileDescriptorProto:
    file = FileDescriptorProto()
    file.parse(raw)
    return file


def _symbols(raw: bytes) -> Iterator[str]:
    file = _described(raw)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)
    yield from (f"{file.package}.{each.name}" for each in file.enum_type)
    for message in file.message_type:
        yield from _message_symbols(file.package, message)


def _message_symbols(parent: str, message: DescriptorProto) -> Iterator[str]:
    name = f"{parent}.{message.name}"
    yield name
    yield from (f"{name}.{field.name}" for field in message.field)
    yield from (f"{name}.{oneof.name}" for oneof in message.oneof_decl)
    yield from (f"{name}.{enum.name}" for enum in message.enum_type)
    for nested in message.nested_type:
        yield from _message_symbols(name, nested)
