"""``grpc.health.v1.Health``: so that load balancers know when to go elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from gproc.errors import GprocError
from gproc.server.followers import Follower, Followers
from gproc.wire import to_grpc_error
from gproc.wire.methods import SERVICE
from gproc.wire.standard import HEALTH_METHODS, health

__all__ = ["HealthService"]

_Told = health.HealthCheckResponseServingStatus


class HealthService:
    """Says SERVING for the server as a whole and for the job service, until the server ends."""

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    def __mapping__(self) -> dict[str, Handler]:
        """Return the rpcs by path, as grpclib wants them."""
        handles = {"Check": self.check, "Watch": self.watch}
        return {method.path: method.handler(handles[name]) for name, method in HEALTH_METHODS.items()}

    async def check(self, stream: Stream[Any, Any]) -> None:
        """Tell the health now."""
        status = self._status_of(await stream.recv_message())
        if status is _Told.SERVICE_UNKNOWN:
            raise GRPCError(Status.NOT_FOUND, "there is no such service here")
        await stream.send_message(health.HealthCheckResponse(status=status))

    async def watch(self, stream: Stream[Any, Any]) -> None:
        """Tell the health now, and that it is over when the server ends."""
        status = self._status_of(await stream.recv_message())
        await stream.send_message(health.HealthCheckResponse(status=status))
        with self._followers.joined() as follower:
            await _until_dismissed(follower)

    def _status_of(self, request: Any) -> Any:
        if request.service not in ("", SERVICE):
            return _Told.SERVICE_UNKNOWN
        return _Told.NOT_SERVING if self._followers.are_dismissed else _Told.SERVING


async def _until_dismissed(follower: Follower) -> None:
    try:
        await follower.wait_for(asyncio.get_running_loop().create_future())
    except GprocError as error:
        raise to_grpc_error(error) from None
