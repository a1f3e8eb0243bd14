"""What a shim and the server say to each other: lines of JSON over a Unix socket.

The shim speaks first::

    {"hello": {"version": 1, "job": ID, "nonce": NONCE}}             proves that it is the job's shim
    {"status": {…}}                                                  the status document, now and at every change
    {"failed": {"error": CLASS, "message": TEXT, "errno": N}}        instead: the program was not executed
    {"output": [END, KEPT, DROPPED]}                                 the output goes this far (`store.Extent`)
    {"answer": SEQ, "errno": N, "message": TEXT}                     errno 0: done
    {"idle": true}                                                   its job is over, and it would take another

and the server asks::

    {"ask": "stop", "seq": N, "signal": NAME, "grace": SECONDS, "by": OWNER}
    {"ask": "signal", "seq": N, "signal": N}
    {"run": DIRECTORY}                                               to one that is idle; it greets again, with that job

Both ignore fields and messages that they do not know, so either may be newer than the other by one version. Every
announcement says how things are, not what changed: one that is replaced by a later one is not missed.
"""

from __future__ import annotations

import errno
import json
from typing import Any

from gproc import errors
from gproc.errors import GprocError

__all__ = ["MAX_LINE", "STOP_RECORD", "VERSION", "Lines", "Message", "encode", "failure", "failure_from"]

VERSION = 1
STOP_RECORD = "stop.json"
"""How a shim that cannot be reached, or is mute, should stop its job, and who asked; it deletes what it has read."""
MAX_LINE = 16 << 20
"""As long as a record may be: a status has all arguments of its job."""

_WANT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)

Message = dict[str, Any]
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(message: Message) -> bytes:
    """Return the line of *message*."""
    return _to_json(message).encode("utf-8", "surrogatepass") + b"\n"


def failure(error: GprocError, number: int) -> bytes:
    """Return the line that says: the program was not executed, because of *error*."""
    return encode({"failed": {"error": type(error).__name__, "message": str(error), "errno": number}})


def failure_from(document: Message) -> GprocError:
    """Return the error that `failure` said."""
    message, number = str(document.get("message", "")), int(document.get("errno") or 0)
    kind = getattr(errors, str(document.get("error")), errors.InternalError)
    if kind is errors.QuotaExceeded or number in _WANT_OF_ROOM:
        return errors.QuotaExceeded(message)
    if kind is errors.InvalidArgument:
        field, _, problem = message.partition(": ")
        return errors.InvalidArgument(field, problem)
    if isinstance(kind, type) and issubclass(kind, errors.StartFailed):
        return kind(message, number)
    return errors.InternalError(message)


class Lines:
    """Turns bytes, cut anywhere, into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that *data* completes; raise `ValueError` if the peer does not speak the protocol."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ValueError("a line is too long")
        messages = [json.loads(line) for line in lines]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("a line is not an object")
        return messages
