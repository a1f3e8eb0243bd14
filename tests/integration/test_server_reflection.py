from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from gproc.testing import EmbeddedServer, embedded_server
from gproc.wire import METHODS

SERVICES = {"gproc.v1.JobService", "grpc.health.v1.Health"}


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with embedded_server() as made:
        yield made


def credentials(server: EmbeddedServer, name: str) -> grpc.ChannelCredentials:
    files = server.files(name)
    return grpc.ssl_channel_credentials(files.cacert.read_bytes(), files.key.read_bytes(), files.cert.read_bytes())


async def test_a_foreign_health_check_gets_an_answer(server: EmbeddedServer) -> None:
    async with grpc.aio.secure_channel(server.addr, credentials(server, "probe")) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "gproc.v1.JobService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_health_watcher_goes_when_the_server_does() -> None:
    async with (
        embedded_server() as server,
        grpc.aio.secure_channel(server.addr, credentials(server, "probe")) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        first = await watching.read()
        assert first.status == health_pb2.HealthCheckResponse.SERVING
        await server.server.close(patience=server.server.options.drain)
        assert await watching.code() is grpc.StatusCode.UNAVAILABLE


async def test_reflection_describes_every_rpc_as_the_proto_does(server: EmbeddedServer) -> None:
    described = await asyncio.to_thread(reflected, server)
    assert {method.name for method in described.methods} == METHODS.keys()
    for method in described.methods:
        known = METHODS[method.name]
        assert method.input_type.name == known.request.__name__
        assert method.output_type.name == known.reply.__name__
        assert (method.client_streaming, method.server_streaming) == (
            known.cardinality.client_streaming,
            known.cardinality.server_streaming,
        )


def reflected(server: EmbeddedServer) -> Any:
    with grpc.secure_channel(server.addr, credentials(server, "probe")) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) >= SERVICES
        pool = DescriptorPool(database)
        assert pool.FindServiceByName("grpc.health.v1.Health").methods_by_name["Watch"].server_streaming
        return pool.FindServiceByName("gproc.v1.JobService")  # reads the files that it needs from the server, too
