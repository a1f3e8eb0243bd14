"""Errors across the wire: `GprocError` to gRPC status and back.

Code and text are for every client. Beside them, ``grpc-status-details-bin`` carries a ``google.rpc.Status`` with one
``google.rpc.ErrorInfo``, which most gRPC libraries can read: domain ``gproc``, reason the class of the error
(``COMMAND_NOT_FOUND``), metadata what the error knows besides its text (``errno``, ``field``, ``job_id``). From it our
own client rebuilds the very same error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError

from gproc import errors
from gproc.errors import GprocError, InternalError, InvalidArgument, Unavailable
from gproc.wire import schema, tags
from gproc.wire.prescan import Bounds, scan
from gproc.wire.schema import Schema

__all__ = ["DOMAIN", "Detail", "StatusDetailsCodec", "from_grpc_error", "to_grpc_error"]

DOMAIN = "gproc"
LONGEST_TEXT = 2_000
"""Status texts travel in headers, which are bounded; what is longer is cut."""

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_KNOWN = ("errno", "field", "job_id")

_ANY = Schema("Any", {1: schema.text("type_url"), 2: schema.raw("value")})
_RPC_STATUS = Schema("Status", {1: schema.number("code"), 2: schema.text("message"), 3: schema.part("details", _ANY)})
_INFO = Schema("ErrorInfo", {1: schema.text("reason"), 2: schema.text("domain"), 3: schema.entries("metadata")})
_BOUNDS = Bounds(size=2**16, elements=1_000)


class Detail(NamedTuple):
    """What an error knows besides its code and text."""

    reason: str
    """Its class, as ``COMMAND_NOT_FOUND``."""
    metadata: dict[str, str]


class StatusDetailsCodec(StatusDetailsCodecBase):
    """Writes and reads ``grpc-status-details-bin``, for servers and clients alike."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        """Return the ``google.rpc.Status`` of an error with a `Detail`."""
        packed = tags.number(1, status.value) + tags.text(2, message or "")
        if isinstance(details, Detail):
            info = tags.text(1, details.reason) + tags.text(2, DOMAIN) + tags.entries(3, details.metadata)
            packed += tags.field(3, tags.text(1, _ERROR_INFO) + tags.field(2, info))
        return packed

    def decode(self, status: Status, message: str | None, data: bytes) -> Detail | None:  # noqa: ARG002 -- grpclib's
        """Return the `Detail` in *data*, or None if there is none that is ours; never raises."""
        try:
            return next(filter(None, map(_detail, _infos(data))), None)
        except InvalidArgument:  # a detail is a courtesy: whatever is wrong with it, code and text still stand
            return None


def _infos(data: bytes) -> Iterator[bytes]:
    """Yield each ``google.rpc.ErrorInfo`` in a ``google.rpc.Status``."""
    for number, detail in tags.fields_of(scan(data, _RPC_STATUS, _BOUNDS)):
        if number == 3:
            parts = dict(tags.fields_of(detail))
            if tags.read_text(parts.get(1, b"")) == _ERROR_INFO:
                yield parts.get(2, b"")


def _detail(info: bytes) -> Detail | None:
    found: dict[int, str] = {}
    metadata: dict[str, str] = {}
    for number, value in tags.fields_of(scan(info, _INFO, _BOUNDS)):
        if number == 3:
            metadata.update((tags.read_entry(value),))
        else:
            found[number] = tags.read_text(value)
    return Detail(found.get(1, ""), metadata) if found.get(2) == DOMAIN else None


def to_grpc_error(error: GprocError) -> GRPCError:
    """Return what goes over the wire for *error*: its code, its text and its detail."""
    known = {name: getattr(error, name, None) for name in _KNOWN}
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
    if isinstance(rebuilt, errors.StartFailed):
        rebuilt.errno = _number(metadata.get("errno", ""))
    if isinstance(rebuilt, InvalidArgument):
        rebuilt.field = metadata.get("field") or text.partition(":")[0]
    if isinstance(rebuilt, errors.JobNotFound):
        rebuilt.job_id = metadata.get("job_id", "")
    return rebuilt


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def _reason(kind: type[GprocError]) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in kind.__name__).lstrip("_")


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
