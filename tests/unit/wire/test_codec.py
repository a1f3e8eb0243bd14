from __future__ import annotations

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gproc.model import JobPage, JobStatus
from gproc.wire import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, ReplyCodec, RequestCodec, messages
from gproc.wire.status import Detail


def test_a_request_that_cannot_be_read_is_the_clients_fault() -> None:
    with pytest.raises(GRPCError) as caught:
        RequestCodec().decode(b"\x08\x01", messages.JobRequest)
    assert caught.value.status is Status.INVALID_ARGUMENT
    assert caught.value.message == "command: is sent as wire type 0, and is 2"
    assert caught.value.details == Detail("INVALID_ARGUMENT", {"field": "command"})


def test_a_reply_that_cannot_be_read_is_the_servers_fault() -> None:
    with pytest.raises(GRPCError) as caught:
        ReplyCodec().decode(b"\x0a\x01\xff", JobStatus)
    assert caught.value.status is Status.INTERNAL
    assert caught.value.message is not None
    assert caught.value.message.startswith("the server's answer cannot be read: id: is not UTF-8")


def test_requests_are_small_and_replies_may_be_large() -> None:
    data = b"\x12\x80\x80\x10" + b"x" * 2**18
    assert len(data) > MAX_REQUEST_BYTES
    with pytest.raises(GRPCError, match="more than a message may have"):
        RequestCodec().decode(data, messages.ListRequest)
    assert ReplyCodec().decode(data, JobPage) == JobPage((), "x" * 2**18)
    with pytest.raises(GRPCError, match="more than a message may have"):
        ReplyCodec().decode(bytes(MAX_REPLY_BYTES + 1), JobPage)


def test_a_message_of_another_kind_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="is not a JobStatus"):
        RequestCodec().encode(messages.JobOutput(), messages.JobStatus)
