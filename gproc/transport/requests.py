"""From the headers of a request to its answer: every request gets one.

`read_request` is pure: headers in, a `Request` or a `Refusal` out, whatever the headers are. A refusal is sent at once
and costs no task. A request runs in a task of its own; however that task ends, even before its first step, the stream
is released, and however the handler ends, the client is told how.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from grpclib.const import Handler as Method
from grpclib.const import Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import Deadline, _Metadata, decode_metadata, encode_grpc_message
from grpclib.protocol import Stream as ProtocolStream
from grpclib.server import Handler, Stream
from grpclib.utils import DeadlineWrapper, Wrapper
from h2.exceptions import ProtocolError as H2Error

from gproc.transport.log import LOGGER, EventLog, printable
from gproc.transport.streams import GuardedStream

__all__ = ["Refusal", "Request", "RequestHandler", "read_request"]

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT_TYPE = "application/grpc"

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")
Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a request is answered that never reaches a handler."""

    status: Status
    message: str
    http_status: int = 200

    def headers(self) -> Headers:
        """Return the answer: headers and trailers in one."""
        return [
            (":status", str(self.http_status)),
            ("content-type", _CONTENT_TYPE),
            ("grpc-status", str(self.status.value)),
            ("grpc-message", encode_grpc_message(self.message)),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that has a handler."""

    path: str
    method: Method
    timeout: float | None
    metadata: _Metadata
    content_type: str
    user_agent: str | None


def read_request(headers: Headers, methods: Mapping[str, Method], subtype: str) -> Request | Refusal:
    """Return the request in *headers* if *methods* has a handler for it; *subtype* is our encoding."""
    fields = dict(headers)
    refusal = _refuse_form(fields, subtype)
    if refusal is not None:
        return refusal
    path = fields.get(":path", "")
    method = methods.get(path)
    if method is None:
        return Refusal(Status.UNIMPLEMENTED, f"{printable(path[:200])}: there is no such method")
    try:
        timeout = _read_timeout(fields.get("grpc-timeout"))
        metadata = decode_metadata(headers)
    except (ValueError, binascii.Error) as error:
        return Refusal(Status.INVALID_ARGUMENT, f"metadata: {printable(str(error)[:200])}")
    return Request(
        path=path,
        method=method,
        timeout=timeout,
        metadata=metadata,
        content_type=fields["content-type"],
        user_agent=fields.get("user-agent"),
    )


def _refuse_form(fields: Mapping[str, str], subtype: str) -> Refusal | None:
    if fields.get(":method") != "POST":
        return Refusal(Status.INTERNAL, "the method must be POST", 405)
    base, _, its_subtype = fields.get("content-type", "").partition("+")
    if base != _CONTENT_TYPE or (its_subtype or "proto") != subtype:
        return Refusal(Status.INTERNAL, f"the content type must be {_CONTENT_TYPE}+{subtype}", 415)
    if fields.get("te") != "trailers":
        return Refusal(Status.INTERNAL, "the header te: trailers is missing", 400)
    if not all(value.isascii() for pair in fields.items() for value in pair):
        return Refusal(Status.INVALID_ARGUMENT, "metadata: not ASCII; use a key that ends in -bin for other bytes")
    return None


def _read_timeout(text: str | None) -> float | None:
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError("grpc-timeout is not up to 8 digits and a unit")
    return int(match[1]) * _UNITS[match[2]]


class ServerCall(Stream[RequestT, ReplyT], Generic[RequestT, ReplyT]):
    """What a handler gets; a request that is missing or cannot be decoded is the client's fault, and told so."""

    async def recv_message(self) -> RequestT | None:
        """Return the next message; None at the end of a stream of requests. Raises `GRPCError`."""
        try:
            message = await super().recv_message()
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, EOFError) as error:
            raise GRPCError(Status.INVALID_ARGUMENT, "request: not a message of the right type") from error
        if message is None and not self._cardinality.client_streaming:
            raise GRPCError(Status.INVALID_ARGUMENT, "request: no message came")
        return message


class RequestHandler(Handler):
    """Starts a task for every request of one connection, and keeps it until it is done."""

    refusal: Refusal | None = None
    """If set, what every request is answered."""

    def __init__(
        self,
        methods: dict[str, Method],
        codec: CodecBase,
        status_details_codec: StatusDetailsCodecBase | None,
        dispatch: _DispatchServerEvents,
        log: EventLog,
    ) -> None:
        super().__init__(methods, codec, status_details_codec, dispatch)
        self.log = log

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The requests in progress."""
        return set(self._tasks.values())

    def accept(self, stream: ProtocolStream, headers: Headers, release_stream: Callable[[], None]) -> None:
        """Begin to answer a request."""
        request = self.refusal or read_request(headers, self.mapping, self.codec.__content_subtype__)
        if isinstance(request, Refusal):
            _answer(stream, request)
            release_stream()
            return
        stream.wrapper = Wrapper() if request.timeout is None else DeadlineWrapper()
        task = self.loop.create_task(self._serve(stream, request))
        self._tasks[stream] = task
        # A callback, not a `finally` in the task: one that is cancelled before its first step has no `finally`.
        task.add_done_callback(partial(self._done, stream, release_stream))

    def _done(self, stream: ProtocolStream, release_stream: Callable[[], None], task: asyncio.Task[None]) -> None:
        self._tasks.pop(stream, None)
        release_stream()
        if stream.wrapper is not None:
            # Why the request was ended leads, by its traceback, to all that its handler held, and back here.
            stream.wrapper._error = None  # noqa: SLF001
        if not task.cancelled() and task.exception() is not None:
            LOGGER.error("request failed", exc_info=task.exception(), extra={"event": "request failed"})

    def cancel(self, stream: ProtocolStream) -> None:
        """Do nothing: the wrapper of the stream has told the handler already."""

    def end_all(self, error: Exception) -> None:
        """End all requests in progress; their clients are told *error*."""
        for stream in list(self._tasks):
            if isinstance(stream, GuardedStream):
                stream.end_with(error)

    def close(self) -> None:
        """The connection is gone; its streams are told by the processor."""
        self.closing = True

    def check_closed(self) -> bool:
        """Whether nothing is in progress."""
        return not self._tasks

    async def wait_closed(self) -> None:
        """Wait for the requests in progress."""
        if self._tasks:
            await asyncio.wait(self.tasks)

    async def _serve(self, stream: ProtocolStream, request: Request) -> None:
        if stream.connection.is_closing():
            return
        deadline = None if request.timeout is None else Deadline.from_timeout(request.timeout)
        try:
            async with self._call(stream, request, deadline) as call:
                await self._run(call, stream, request, deadline)
        except (StreamTerminatedError, H2Error):
            # The client left, and nobody is there to be told.
            return

    def _call(self, stream: ProtocolStream, request: Request, deadline: Deadline | None) -> ServerCall[Any, Any]:
        return ServerCall(
            stream,
            request.path,
            request.method.cardinality,
            request.method.request_type,
            request.method.reply_type,
            codec=self.codec,
            status_details_codec=self.status_details_codec,
            dispatch=self.dispatch,
            deadline=deadline,
            user_agent=request.user_agent,
        )

    async def _run(
        self, call: Stream[Any, Any], stream: ProtocolStream, request: Request, deadline: Deadline | None
    ) -> None:
        wrapper = stream.wrapper or Wrapper()
        limit: AbstractContextManager[Any] = nullcontext()
        if deadline is not None and isinstance(wrapper, DeadlineWrapper):
            limit = wrapper.start(deadline)
        try:
            with limit, wrapper:
                call.metadata, func = await self.dispatch.recv_request(
                    request.metadata,
                    request.method.func,
                    method_name=request.path,
                    deadline=deadline,
                    content_type=request.content_type,
                    user_agent=request.user_agent,
                    peer=call.peer,
                )
                await func(call)
        except (GRPCError, StreamTerminatedError, H2Error):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that the handler waited for was cancelled, not the handler.
            raise self._internal(request, error) from error
        except TimeoutError as error:
            # Not by the clock alone: timers of uvloop go off up to a millisecond early.
            if deadline is not None and (wrapper.cancelled or not deadline.time_remaining()):
                raise GRPCError(Status.DEADLINE_EXCEEDED, "it took longer than the client allowed") from error
            raise self._internal(request, error) from error
        except Exception as error:
            raise self._internal(request, error) from error

    def _internal(self, request: Request, error: BaseException) -> GRPCError:
        LOGGER.error("%s failed", request.path, exc_info=error, extra={"event": "request failed"})
        return GRPCError(Status.INTERNAL, "internal error; the server's log has the details")


def _answer(stream: ProtocolStream, refusal: Refusal) -> None:
    if not isinstance(stream, GuardedStream) or stream.id is None or not stream.closable:
        return
    stream.connection.refuse(stream.id, refusal.headers())
