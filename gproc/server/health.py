"""Health checks and server reflection, so that load balancers and grpcurl work without knowing Gproc.

The only module that needs the ``protobuf`` package: grpclib's two services speak in its messages.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.health.check import ServiceStatus
from grpclib.health.service import OVERALL, Health
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from grpclib.reflection.v1 import reflection_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2

if TYPE_CHECKING:
    from grpclib._typing import IServable

__all__ = ["HealthStatus", "with_health_and_reflection"]


class HealthStatus:
    """What the health service says about the server as a whole and about the job service."""

    def __init__(self) -> None:
        self.check = ServiceStatus()
        self.set(serving=True)

    def set(self, *, serving: bool) -> None:
        """Say SERVING or NOT_SERVING from now on."""
        self.check.set(serving)


def with_health_and_reflection(service: IServable, status: HealthStatus) -> list[IServable]:
    """Return *service* with the health service and reflection (v1 and v1alpha) beside it."""
    checks: Any = {OVERALL: [status.check], service: [status.check]}
    return ServerReflection.extend([service, Health(checks)], pool=_descriptors())


def _descriptors() -> DescriptorPool:
    pool = DescriptorPool()
    described = FileDescriptorSet.FromString(files("gproc.wire").joinpath("_generated/jobs.binpb").read_bytes())
    for file in described.file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (health_pb2, reflection_pb2, reflection_v1alpha_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
