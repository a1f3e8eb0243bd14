"""How grpclib reads and writes messages: nothing is decoded that was not scanned first.

Servers read requests as generated messages, and answer with statuses and pages as values. Our own client asks in bytes
that `gproc.wire.calls` has written, and reads values: see `ReplyCodec`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from betterproto import Message
from grpclib.encoding.base import CodecBase

from gproc.errors import InvalidArgument
from gproc.model import JobPage, JobStatus
from gproc.wire.classes import read_message
from gproc.wire.prescan import Bounds
from gproc.wire.status import to_grpc_error
from gproc.wire.values import page_to_bytes, status_to_bytes

__all__ = ["MAX_REQUEST_BYTES", "RequestCodec"]

_M = TypeVar("_M", bound=Message)

MAX_REQUEST_BYTES = 128 * 1024
_BOUNDS = Bounds(size=MAX_REQUEST_BYTES, elements=12_000)
_WRITERS: dict[type, tuple[str, Any]] = {
    JobStatus: ("JobStatus", status_to_bytes),
    JobPage: ("ListResponse", page_to_bytes),
}


class RequestCodec(CodecBase):
    """For servers: a request that cannot be read is the client's fault, INVALID_ARGUMENT with the field's name."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: type[Message]) -> bytes:
        """Return the bytes of *message*, or of a value that has one of that type."""
        name, write = _WRITERS.get(type(message), ("", None))
        if name == message_type.__name__:
            written: bytes = write(message)
            return written
        if not isinstance(message, message_type):
            raise TypeError(f"{message!r} is not a {message_type.__name__}")
        return bytes(message)

    def decode(self, data: bytes, message_type: type[_M]) -> _M:
        """Return the message in *data*; raises `GRPCError`, and nothing else, if there is none."""
        try:
            return read_message(data, message_type, _BOUNDS)
        except InvalidArgument as error:
            raise to_grpc_error(error) from None
