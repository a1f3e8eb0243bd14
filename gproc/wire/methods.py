"""The rpcs of ``gproc.v1.JobService`` as servers answer them: paths, and the messages that go to and fro."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from grpclib.const import Cardinality, Handler

from gproc.wire._generated.gproc import v1
from gproc.wire.calls import SERVICE

__all__ = ["METHODS", "SERVICE", "Method"]

_Request = TypeVar("_Request")
_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Method(Generic[_Request, _Reply]):
    """One rpc: its name, how many messages go each way, and their types."""

    name: str
    cardinality: Cardinality
    request: type[_Request]
    reply: type[_Reply]
    service: str = SERVICE

    @property
    def path(self) -> str:
        """What HTTP/2 calls it."""
        return f"/{self.service}/{self.name}"

    def handler(self, func: Callable[[Any], Awaitable[None]]) -> Handler:
        """Return the entry of a grpclib mapping that answers this rpc with *func*."""
        return Handler(func, self.cardinality, self.request, self.reply)


_ONE, _MANY, _BOTH = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM, Cardinality.STREAM_STREAM

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        Method("Start", _ONE, v1.JobRequest, v1.JobStatus),
        Method("Status", _ONE, v1.StatusRequest, v1.JobStatus),
        Method("Stop", _ONE, v1.StopRequest, v1.JobStatus),
        Method("GetOutput", _MANY, v1.GetOutputRequest, v1.JobOutput),
        Method("Signal", _ONE, v1.SignalRequest, v1.JobStatus),
        Method("Wait", _ONE, v1.WaitRequest, v1.JobStatus),
        Method("List", _ONE, v1.ListRequest, v1.ListResponse),
        Method("Watch", _MANY, v1.WatchRequest, v1.JobStatus),
        Method("Attach", _BOTH, v1.AttachRequest, v1.JobOutput),
        Method("Remove", _ONE, v1.RemoveRequest, v1.RemoveResponse),
    )
}
