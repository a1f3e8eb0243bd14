"""The rpcs of ``gproc.v1.JobService``: paths, and the messages that go to and fro."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from grpclib.const import Cardinality, Handler

from gproc.wire._generated.gproc import v1

__all__ = [
    "ATTACH",
    "GET_OUTPUT",
    "LIST",
    "METHODS",
    "REMOVE",
    "SERVICE",
    "SIGNAL",
    "START",
    "STATUS",
    "STOP",
    "WAIT",
    "WATCH",
    "Method",
]

SERVICE = "gproc.v1.JobService"

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


START = Method("Start", Cardinality.UNARY_UNARY, v1.JobRequest, v1.JobStatus)
STATUS = Method("Status", Cardinality.UNARY_UNARY, v1.StatusRequest, v1.JobStatus)
STOP = Method("Stop", Cardinality.UNARY_UNARY, v1.StopRequest, v1.JobStatus)
GET_OUTPUT = Method("GetOutput", Cardinality.UNARY_STREAM, v1.GetOutputRequest, v1.JobOutput)
SIGNAL = Method("Signal", Cardinality.UNARY_UNARY, v1.SignalRequest, v1.JobStatus)
WAIT = Method("Wait", Cardinality.UNARY_UNARY, v1.WaitRequest, v1.JobStatus)
LIST = Method("List", Cardinality.UNARY_UNARY, v1.ListRequest, v1.ListResponse)
WATCH = Method("Watch", Cardinality.UNARY_STREAM, v1.WatchRequest, v1.JobStatus)
ATTACH = Method("Attach", Cardinality.STREAM_STREAM, v1.AttachRequest, v1.JobOutput)
REMOVE = Method("Remove", Cardinality.UNARY_UNARY, v1.RemoveRequest, v1.RemoveResponse)

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method for method in (START, STATUS, STOP, GET_OUTPUT, SIGNAL, WAIT, LIST, WATCH, ATTACH, REMOVE)
}
