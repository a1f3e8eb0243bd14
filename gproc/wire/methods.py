"""The rpcs of ``gproc.v1.JobService``: paths, and the messages that go to and fro."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from grpclib.const import Cardinality, Handler

from gproc.model import JobStatus
from gproc.wire._generated.gproc import v1
from gproc.wire.schema import schema_of
from gproc.wire.values import Page

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
    """One rpc: its name, how many messages go each way, and their types.

    *_Reply* is what our own client makes of a reply: *value*, if there is such a type, else the message itself.
    """

    name: str
    cardinality: Cardinality
    request: type[_Request]
    reply: type[Any]
    service: str = SERVICE
    value: type[_Reply] | None = None

    @property
    def path(self) -> str:
        """What HTTP/2 calls it."""
        return f"/{self.service}/{self.name}"

    def expect_reply(self) -> None:
        """Do now, while the server works, what the first reply of its kind would have to wait for."""
        if self.value is not None:
            message: Any = self.reply
            schema_of(message)

    def handler(self, func: Callable[[Any], Awaitable[None]]) -> Handler:
        """Return the entry of a grpclib mapping that answers this rpc with *func*."""
        return Handler(func, self.cardinality, self.request, self.reply)


START = Method("Start", Cardinality.UNARY_UNARY, v1.JobRequest, v1.JobStatus, value=JobStatus)
STATUS = Method("Status", Cardinality.UNARY_UNARY, v1.StatusRequest, v1.JobStatus, value=JobStatus)
STOP = Method("Stop", Cardinality.UNARY_UNARY, v1.StopRequest, v1.JobStatus, value=JobStatus)
GET_OUTPUT: Method[v1.GetOutputRequest, v1.JobOutput] = Method(
    "GetOutput", Cardinality.UNARY_STREAM, v1.GetOutputRequest, v1.JobOutput
)
SIGNAL = Method("Signal", Cardinality.UNARY_UNARY, v1.SignalRequest, v1.JobStatus, value=JobStatus)
WAIT = Method("Wait", Cardinality.UNARY_UNARY, v1.WaitRequest, v1.JobStatus, value=JobStatus)
LIST = Method("List", Cardinality.UNARY_UNARY, v1.ListRequest, v1.ListResponse, value=Page)
WATCH = Method("Watch", Cardinality.UNARY_STREAM, v1.WatchRequest, v1.JobStatus, value=JobStatus)
ATTACH: Method[v1.AttachRequest, v1.JobOutput] = Method(
    "Attach", Cardinality.STREAM_STREAM, v1.AttachRequest, v1.JobOutput
)
REMOVE: Method[v1.RemoveRequest, v1.RemoveResponse] = Method(
    "Remove", Cardinality.UNARY_UNARY, v1.RemoveRequest, v1.RemoveResponse
)

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method for method in (START, STATUS, STOP, GET_OUTPUT, SIGNAL, WAIT, LIST, WATCH, ATTACH, REMOVE)
}
