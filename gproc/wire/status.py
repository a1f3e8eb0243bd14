"""Errors across the wire: `GprocError` to gRPC status and back, and what a broken connection means.

Code and text are for every client. Beside them, ``grpc-status-details-bin`` carries a ``google.rpc.Status`` with one
``google.rpc.ErrorInfo``, which most gRPC libraries can read: domain ``gproc``, reason the class of the error
(``COMMAND_NOT_FOUND``), metadata what the error knows besides its text (``errno``, ``field``, ``job_id``). From it our
own client rebuilds the very same error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import betterproto
from betterproto.lib.google.protobuf import Any as AnyMessage
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError

from gproc import errors
from gproc.errors import GprocError, InternalError, InvalidArgument, Unavailable
from gproc.wire.broken import connection_error

__all__ = ["DOMAIN", "Detail", "StatusDetailsCodec", "connection_error", "from_grpc_error", "to_grpc_error"]

DOMAIN = "gproc"
LONGEST_TEXT = 2_000
"""Status texts travel in headers, which are bounded; what is longer is cut."""

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_NUMBERS = ("errno",)
_TEXTS = ("field", "job_id")


@dataclass(eq=False, repr=False)
class _ErrorInfo(betterproto.Message):
    reason: str = betterproto.string_field(1)
    domain: str = betterproto.string_field(2)
    metadata: dict[str, str] = betterproto.map_field(3, betterproto.TYPE_STRING, betterproto.TYPE_STRING)  # noqa: RUF009 -- how betterproto declares fields


@dataclass(eq=False, repr=False)
class _RpcStatus(betterproto.Message):
    code: int = betterproto.int32_field(1)
    message: str = betterproto.string_field(2)
    details: list[AnyMessage] = betterproto.message_field(3)  # noqa: RUF009 -- as above


@dataclass(frozen=True, slots=True)
class Detail:
    """What an error knows besides its code and text."""

    reason: str
    """Its class, as ``COMMAND_NOT_FOUND``."""
    metadata: dict[str, str]


class StatusDetailsCodec(StatusDetailsCodecBase):
    """Writes and reads ``grpc-status-details-bin``, for servers and clients alike."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        """Return the ``google.rpc.Status`` of an error with a `Detail`."""
        packed = _RpcStatus(code=status.value, message=message or "")
        if isinstance(details, Detail):
            info = _ErrorInfo(reason=details.reason, domain=DOMAIN, metadata=details.metadata)
            packed.details = [AnyMessage(type_url=_ERROR_INFO, value=bytes(info))]
        return bytes(packed)

    def decode(self, status: Status, message: str | None, data: bytes) -> Detail | None:  # noqa: ARG002 -- grpclib's
        """Return the `Detail` in *data*, or None if there is none that is ours; never raises."""
        try:
            infos = [_ErrorInfo().parse(any_.value) for any_ in _RpcStatus().parse(data).details]
        except Exception:  # noqa: BLE001 -- a detail is a courtesy: whatever is wrong with it, code and text still stand
            return None
        return next((Detail(info.reason, info.metadata) for info in infos if info.domain == DOMAIN), None)


def to_grpc_error(error: GprocError) -> GRPCError:
    """Return what goes over the wire for *error*: its code, its text and its detail."""
    known = {name: getattr(error, name, None) for name in (*_NUMBERS, *_TEXTS)}
    metadata = {name: str(value) for name, value in known.items() if value not in (None, "", 0)}
    return GRPCError(
        Status[error.grpc_status],
        _cut(str(error)),
        Detail(_reason(type(error)), {name: _cut(value) for name, value in metadata.items()}),
    )


def from_grpc_error(error: GRPCError) -> GprocError:
    """Return the error that the other side meant: same class if it was ours, same text, same knowledge."""
    detail = error.details if isinstance(error.details, Detail) else Detail("", {})
    text = error.message or f"the server answered {error.status.name} and no more"
    kind = _BY_REASON.get(detail.reason)
    if kind is None or kind.grpc_status != error.status.name:
        kind = _BY_STATUS.get(error.status, InternalError)
    return _rebuild(kind, text, detail.metadata)


def _rebuild(kind: type[GprocError], text: str, metadata: dict[str, str]) -> GprocError:
    # Not through __init__: constructors make up the text from parts, and the text that was sent must stay as it is.
    rebuilt = kind.__new__(kind, text)
    for name in _NUMBERS:
        if issubclass(kind, errors.StartFailed):
            setattr(rebuilt, name, _number(metadata.get(name, "")))
    if isinstance(rebuilt, InvalidArgument):
        rebuilt.field = metadata.get("field") or text.partition(":")[0]
    if isinstance(rebuilt, errors.JobNotFound):
        rebuilt.job_id = metadata.get("job_id", "")
    return rebuilt


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def _reason(kind: type[GprocError]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper()


def _kinds(kind: type[GprocError]) -> Iterator[type[GprocError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _kinds(child)


_BY_REASON = {_reason(kind): kind for kind in _kinds(GprocError)}
_BY_STATUS: dict[Status, type[GprocError]] = {
    Status.CANCELLED: Unavailable,
    Status.INVALID_ARGUMENT: InvalidArgument,
    Status.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    Status.NOT_FOUND: errors.JobNotFound,
    Status.PERMISSION_DENIED: errors.PermissionDenied,
    Status.RESOURCE_EXHAUSTED: errors.QuotaExceeded,
    Status.FAILED_PRECONDITION: errors.StartFailed,
    Status.ABORTED: Unavailable,
    Status.OUT_OF_RANGE: errors.OffsetOutOfRange,
    Status.UNIMPLEMENTED: errors.Unimplemented,
    Status.UNAVAILABLE: Unavailable,
    Status.UNAUTHENTICATED: errors.Unauthenticated,
}
