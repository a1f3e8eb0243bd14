"""How grpclib reads and writes messages: nothing is decoded that was not scanned first.

Statuses, and pages of them, come and go as values: see `gproc.wire.values`. Messages of google.protobuf, as grpclib's
own health service uses, pass through to their own decoder.
"""

from __future__ import annotations

from typing import Any

from betterproto import Message
from grpclib.encoding.base import CodecBase

from gproc.errors import GprocError, InternalError, InvalidArgument
from gproc.wire.prescan import Bounds, read_message
from gproc.wire.status import to_grpc_error
from gproc.wire.values import VALUES

__all__ = ["MAX_REPLY_BYTES", "MAX_REQUEST_BYTES", "ReplyCodec", "RequestCodec"]

MAX_REQUEST_BYTES = 128 * 1024
MAX_REPLY_BYTES = 64 * 1024 * 1024


class _Codec(CodecBase):
    """Scans and decodes what the other side sent."""

    __content_subtype__ = "proto"
    _bounds: Bounds

    def encode(self, message: Any, message_type: type[Any]) -> bytes:
        """Return the bytes of *message*, or of a value that has one of that type."""
        if type(message) in VALUES:
            kind, to_bytes, _ = VALUES[type(message)]
            if kind is message_type:
                return to_bytes(message)
        if not isinstance(message, message_type):
            raise TypeError(f"{message!r} is not a {message_type.__name__}")
        return bytes(message) if isinstance(message, Message) else message.SerializeToString()

    def decode(self, data: bytes, message_type: type[Any]) -> Any:
        """Return the message, or the value, in *data*; raises `GRPCError`, and nothing else, if there is none."""
        try:
            if message_type in VALUES:
                return VALUES[message_type][2](data, self._bounds)
            if issubclass(message_type, Message):
                return read_message(data, message_type, self._bounds)
            return _decode_foreign(data, message_type, self._bounds)
        except InvalidArgument as error:
            raise to_grpc_error(self._fault(error)) from None

    @staticmethod
    def _fault(error: InvalidArgument) -> GprocError:
        return error


class RequestCodec(_Codec):
    """For servers: a request that cannot be read is the client's fault, INVALID_ARGUMENT with the field's name."""

    _bounds = Bounds(size=MAX_REQUEST_BYTES, elements=12_000)


class ReplyCodec(_Codec):
    """For clients: a reply that cannot be read is the server's fault, INTERNAL."""

    _bounds = Bounds(size=MAX_REPLY_BYTES, elements=4_000_000)

    @staticmethod
    def _fault(error: InvalidArgument) -> GprocError:
        return InternalError(f"the server's answer cannot be read: {error}")


def _decode_foreign(data: bytes, message_type: type[Any], bounds: Bounds) -> Any:
    if len(data) > bounds.size:
        raise InvalidArgument(message_type.__name__, f"{len(data)} bytes are more than a message may have")
    try:
        return message_type.FromString(data)
    except Exception as error:  # noqa: BLE001 -- google.protobuf is not imported here, so its DecodeError has no name
        raise InvalidArgument(message_type.__name__, f"cannot be decoded: {error}") from None
