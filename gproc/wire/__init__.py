"""The wire: messages and what they mean, errors and what they are called. The only importer of betterproto.

- `messages` is the generated module. ``*_to_message`` and ``*_from_message`` turn values of `gproc.model` into messages
  and back; what cannot be turned raises `InvalidArgument` naming the field.
- `RequestCodec` and `ReplyCodec` are what grpclib reads and writes messages with; nothing reaches betterproto's decoder
  that `prescan` has not looked at. Statuses and pages are written and read as values, without a message: that is
  thirty times as fast, and a page has hundreds.
- `to_grpc_error`, `from_grpc_error`, `StatusDetailsCodec` and `connection_error` carry errors across.
- `METHODS` are the rpcs of ``gproc.v1.JobService``.
"""

from gproc.wire._generated.gproc import v1 as messages
from gproc.wire.codec import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, ReplyCodec, RequestCodec
from gproc.wire.jobs import request_from_message, request_to_message, status_from_message, status_to_message
from gproc.wire.methods import METHODS, Method
from gproc.wire.output import (
    event_from_bytes,
    event_from_message,
    event_to_message,
    event_to_parts,
    output_range_from_message,
    output_range_to_message,
)
from gproc.wire.queries import (
    ListQuery,
    SignalQuery,
    StopQuery,
    job_id_from_message,
    list_query_from_message,
    list_query_to_message,
    page_from_message,
    page_to_message,
    signal_from_message,
    signal_to_message,
    stop_from_message,
    stop_to_message,
    watch_from_message,
    watch_to_message,
)
from gproc.wire.status import StatusDetailsCodec, connection_error, from_grpc_error, to_grpc_error
from gproc.wire.values import Page

__all__ = [
    "MAX_REPLY_BYTES",
    "MAX_REQUEST_BYTES",
    "METHODS",
    "ListQuery",
    "Method",
    "Page",
    "ReplyCodec",
    "RequestCodec",
    "SignalQuery",
    "StatusDetailsCodec",
    "StopQuery",
    "connection_error",
    "event_from_bytes",
    "event_from_message",
    "event_to_message",
    "event_to_parts",
    "from_grpc_error",
    "job_id_from_message",
    "list_query_from_message",
    "list_query_to_message",
    "messages",
    "output_range_from_message",
    "output_range_to_message",
    "page_from_message",
    "page_to_message",
    "request_from_message",
    "request_to_message",
    "signal_from_message",
    "signal_to_message",
    "status_from_message",
    "status_to_message",
    "stop_from_message",
    "stop_to_message",
    "to_grpc_error",
    "watch_from_message",
    "watch_to_message",
]
