"""What our own client makes of a server's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grpclib.encoding.base import CodecBase

from gproc.errors import InternalError, InvalidArgument
from gproc.model import JobPage, JobStatus
from gproc.wire.prescan import Bounds
from gproc.wire.status import to_grpc_error
from gproc.wire.values import Removed, page_from_bytes, removed_from_bytes, status_from_bytes

__all__ = ["MAX_REPLY_BYTES", "ReplyCodec"]

MAX_REPLY_BYTES = 64 * 1024 * 1024
_BOUNDS = Bounds(size=MAX_REPLY_BYTES, elements=4_000_000)
_READERS: dict[type, Callable[[bytes, Bounds], Any]] = {
    JobStatus: status_from_bytes,
    JobPage: page_from_bytes,
    Removed: removed_from_bytes,
}


class ReplyCodec(CodecBase):
    """For clients: a reply that cannot be read is the server's fault, INTERNAL. Requests are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: Any) -> bytes:  # noqa: ARG002 -- grpclib's
        """Return *message*, which `gproc.wire.calls` has written."""
        return message

    def decode(self, data: bytes, message_type: type[Any]) -> Any:
        """Return the value in *data*; raises `GRPCError`, and nothing else, if there is none."""
        try:
            return _READERS[message_type](data, _BOUNDS)
        except InvalidArgument as error:
            raise to_grpc_error(InternalError(f"the server's answer cannot be read: {error}")) from None
