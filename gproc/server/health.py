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
from grpclib.server import Stream

from gproc.errors import GprocError
from gproc.server.followers import Followers
from gproc.wire import to_grpc_error

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


class _Health(Health):
    """Health checks whose watchers go when the server does."""

    def __init__(self, checks: Any, followers: Followers) -> None:
        super().__init__(checks)
        self._followers = followers

    async def Watch(self, stream: Stream[Any, Any]) -> None:  # noqa: N802 - the name of the rpc
        """Tell the health now and whenever it changes."""
        try:
            with self._followers.joined() as follower:
                await follower.wait_for(super().Watch(stream))
        except GprocError as error:
            raise to_grpc_error(error) from None


def with_health_and_reflection(service: IServable, status: HealthStatus, followers: Followers) -> list[IServable]:
    """Return *service* with the health service and reflection (v1 and v1alpha) beside it."""
    checks: Any = {OVERALL: [status.check], service: [status.check]}
    return ServerReflection.extend([service, _Health(checks, followers)], pool=_descriptors())


def _descriptors() -> DescriptorPool:
    pool = DescriptorPool()
    described = FileDescriptorSet.FromString(files("gproc.wire").joinpath("_generated/jobs.binpb").read_bytes())
    for file in described.file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (health_pb2, reflection_pb2, reflection_v1alpha_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
