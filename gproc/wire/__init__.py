"""The wire: messages and what they mean, errors and what they are called. The only importer of betterproto.

- Servers read requests as generated `messages`, through `RequestCodec`, and turn them into values of `gproc.model` with
  ``*_from_message``; what cannot be turned raises `InvalidArgument` naming the field. `METHODS` are their rpcs.
- Our own client makes every `Call` in bytes that it writes from values, and reads values through `ReplyCodec`.
  Statuses, pages and output are written as values by servers, too: a page has hundreds.
- Nothing is decoded that `gproc.wire.prescan` has not looked at.
- `to_grpc_error`, `from_grpc_error`, `StatusDetailsCodec` and `connection_error` carry errors across.

What only servers need is imported when it is first used: betterproto, and the generated classes with it, takes longer
to import than a short command takes for everything else that it does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from gproc.wire.broken import connection_error
from gproc.wire.calls import Call
from gproc.wire.output import event_from_bytes, event_to_parts, output_range_from_message
from gproc.wire.queries import (
    SignalQuery,
    StopQuery,
    job_id_from_message,
    list_query_from_message,
    signal_from_message,
    stop_from_message,
    watch_from_message,
)
from gproc.wire.replies import MAX_REPLY_BYTES, ReplyCodec
from gproc.wire.status import StatusDetailsCodec, from_grpc_error, to_grpc_error

if TYPE_CHECKING:
    from gproc.wire.classes import messages
    from gproc.wire.codec import MAX_REQUEST_BYTES, RequestCodec
    from gproc.wire.jobs import request_from_message
    from gproc.wire.methods import METHODS

__all__ = [
    "MAX_REPLY_BYTES",
    "MAX_REQUEST_BYTES",
    "METHODS",
    "Call",
    "ReplyCodec",
    "RequestCodec",
    "SignalQuery",
    "StatusDetailsCodec",
    "StopQuery",
    "connection_error",
    "event_from_bytes",
    "event_to_parts",
    "from_grpc_error",
    "job_id_from_message",
    "list_query_from_message",
    "messages",
    "output_range_from_message",
    "request_from_message",
    "signal_from_message",
    "stop_from_message",
    "to_grpc_error",
    "watch_from_message",
]

_OF_SERVERS = {
    "MAX_REQUEST_BYTES": "gproc.wire.codec",
    "METHODS": "gproc.wire.methods",
    "RequestCodec": "gproc.wire.codec",
    "messages": "gproc.wire.classes",
    "request_from_message": "gproc.wire.jobs",
}


def __getattr__(name: str) -> object:
    if name not in _OF_SERVERS:
        raise AttributeError(f"module 'gproc.wire' has no attribute {name!r}")
    return getattr(import_module(_OF_SERVERS[name]), name)
