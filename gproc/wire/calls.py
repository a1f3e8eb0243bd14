"""The rpcs of ``gproc.v1.JobService`` as our own client calls them: values in and out, bytes in between.

`gproc.wire.methods` has the same rpcs with their messages, for servers; a test holds one table against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from grpclib.const import Cardinality

from gproc.model import JobId, JobPage, JobRequest, JobStatus, ListQuery, OutputRange
from gproc.wire.queries import SignalQuery, StopQuery
from gproc.wire.requests import (
    id_to_bytes,
    list_query_to_bytes,
    output_range_to_bytes,
    request_to_bytes,
    signal_to_bytes,
    stop_to_bytes,
    watch_to_bytes,
)
from gproc.wire.values import Removed

__all__ = ["GET_OUTPUT", "LIST", "REMOVE", "SERVICE", "SIGNAL", "START", "STATUS", "STOP", "WAIT", "WATCH", "Call"]

SERVICE = "gproc.v1.JobService"

_Query = TypeVar("_Query")
_Reply = TypeVar("_Reply")


class Call(NamedTuple, Generic[_Query, _Reply]):
    """One rpc: its name, how many messages go each way, how it is asked, and what `ReplyCodec` makes of a reply."""

    name: str
    cardinality: Cardinality
    write: Callable[[_Query], bytes]
    reply: type[_Reply]

    @property
    def path(self) -> str:
        """What HTTP/2 calls it."""
        return f"/{SERVICE}/{self.name}"


_ONE, _MANY = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM

START: Call[JobRequest, JobStatus] = Call("Start", _ONE, request_to_bytes, JobStatus)
STATUS: Call[JobId, JobStatus] = Call("Status", _ONE, id_to_bytes, JobStatus)
STOP: Call[StopQuery, JobStatus] = Call("Stop", _ONE, stop_to_bytes, JobStatus)
GET_OUTPUT: Call[tuple[JobId, OutputRange], bytes] = Call("GetOutput", _MANY, output_range_to_bytes, bytes)
SIGNAL: Call[SignalQuery, JobStatus] = Call("Signal", _ONE, signal_to_bytes, JobStatus)
WAIT: Call[JobId, JobStatus] = Call("Wait", _ONE, id_to_bytes, JobStatus)
LIST: Call[ListQuery, JobPage] = Call("List", _ONE, list_query_to_bytes, JobPage)
WATCH: Call[Iterable[JobId], JobStatus] = Call("Watch", _MANY, watch_to_bytes, JobStatus)
REMOVE: Call[JobId, Removed] = Call("Remove", _ONE, id_to_bytes, Removed)
