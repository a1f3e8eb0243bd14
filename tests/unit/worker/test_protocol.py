from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from gproc import errors
from gproc.worker.protocol import MAX_LINE, Lines, encode, failure, failure_from


def test_messages_cut_anywhere_come_out_whole() -> None:
    messages: list[dict[str, Any]] = [{"output": [1, 2]}, {"status": {"reason": "é\n\0"}}]
    data = b"".join([encode(message) for message in messages])
    for cut in range(len(data)):
        lines = Lines()
        assert lines.feed(data[:cut]) + lines.feed(data[cut:]) == messages


@pytest.mark.parametrize("data", [b"{\n", b"[]\n", b"\n", b"\xff\n"])
def test_a_peer_that_does_not_speak_the_protocol_is_told_by_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|Expecting|codec"):
        Lines().feed(data)


def test_a_line_without_end_is_told_by_an_error() -> None:
    with pytest.raises(ValueError, match="a line is too long"):
        Lines().feed(b"x" * (MAX_LINE + 1))


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (errors.CommandNotFound("x: command not found", errno.ENOENT), errno.ENOENT),
        (errors.CommandNotExecutable("x: cannot be executed", errno.EACCES), errno.EACCES),
        (errors.StartFailed("working directory x: gone", errno.ENOENT), errno.ENOENT),
        (errors.InvalidArgument("args", "too long: really"), 0),
        (errors.QuotaExceeded("no room"), errno.EAGAIN),
        (errors.QuotaExceeded("no room, told without a number"), 0),
        (errors.InternalError("broken"), errno.EIO),
    ],
)
def test_a1_an_error_that_the_shim_tells_is_the_same_to_the_server(error: errors.GprocError, number: int) -> None:
    told = failure_from(json.loads(failure(error, number))["failed"])
    assert type(told) is type(error)
    assert str(told) == str(error)
    if isinstance(error, errors.StartFailed):
        assert isinstance(told, errors.StartFailed)
        assert told.errno == number
    if isinstance(error, errors.InvalidArgument):
        assert isinstance(told, errors.InvalidArgument)
        assert told.field == error.field


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
def test_a3_want_of_room_is_a_quota_whatever_the_shim_made_of_it(number: int) -> None:
    told = failure_from(json.loads(failure(errors.InternalError("no room"), number))["failed"])
    assert isinstance(told, errors.QuotaExceeded)


@pytest.mark.parametrize("name", ["ErrorOfTheFuture", "ClassVar", "__doc__", "GprocError", ""])
def test_an_error_that_is_not_known_is_internal(name: str) -> None:
    assert type(failure_from({"error": name, "message": "m"})) is errors.InternalError
