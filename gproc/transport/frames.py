"""Where frames begin and end in a byte stream that is cut anywhere: what the toll gate and the fast path stand on.

An HTTP/2 frame is a header of 9 bytes and a body: ``length:24 kind:8 flags:8 0:1 stream:31``. h2 finds frames by
itself, but it copies each one several times, keeps a whole frame before it looks at its length, and answers floods
before anybody is asked. So every byte goes through a `FrameSplitter` first. It asks its *sink* once a frame where that
frame is to go: on to h2 unchanged (`PASS`), nowhere (`DROP`), piece by piece to a reader of data (`DATA`), or, in one
piece, to the sink itself (`WHOLE`).

The splitter keeps nothing but the header of a frame that was cut inside it, and frames routed `WHOLE`. Bytes that pass
are passed in runs, not frame by frame; before the sink is asked about a DATA frame, all bytes before it were passed, so
it may look at h2's state.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Protocol

__all__ = ["FrameSink", "FrameSplitter", "Kind", "Route", "data_header"]

HEADER_SIZE = 9
_HEADER = Struct(">HBBBL")
_STREAM_BITS = 0x7FFF_FFFF


class Kind(IntEnum):
    """The kinds of frames that we look at."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Route(IntEnum):
    """Where a frame goes."""

    PASS = 0
    DROP = 1
    DATA = 2
    WHOLE = 3


# Plain numbers for the inner loop: looking up a member of an enum costs more than the comparison.
_DATA_FRAME = int(Kind.DATA)
_PASS, _DROP, _DATA, _WHOLE = (int(route) for route in Route)


class FrameSink(Protocol):
    """What a splitter talks to; whatever a method raises ends the feeding."""

    def begin(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        """Return the route of the frame that begins here."""

    def passed(self, run: memoryview) -> None:
        """Take bytes for h2: frames and parts of frames, headers included."""

    def data(self, piece: memoryview) -> None:
        """Take a piece of the body of the current frame, routed `DATA`; valid during the call only."""

    def whole(self, kind: int, body: bytes) -> None:
        """Take the body of a frame routed `WHOLE`."""


class FrameSplitter:
    """Cuts what it is fed into frames and gives them to *sink*; the first *preface* bytes are passed."""

    def __init__(self, sink: FrameSink, *, preface: int = 0) -> None:
        self._sink = sink
        self._preface = preface  # bytes of the preface that are still to come
        self._left = 0  # bytes of the current frame that are still to come
        self._route = _PASS
        self._kind = 0
        self._header = bytearray()  # the beginning of a header that was cut
        self._body = bytearray()  # the beginning of a frame routed WHOLE

    def feed(self, view: memoryview) -> None:
        """Take the next bytes of the stream; none of them is needed after the call."""
        at = run = self._pass_preface(view)  # view[run:at] is to be passed
        end = len(view)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                if self._route != _PASS:
                    self._deliver(view[at : at + step])
                    run = at + step
                at += step
            elif self._header or end - at < HEADER_SIZE:
                if run < at:
                    self._sink.passed(view[run:at])
                at = run = self._complete_header(view, at)
            else:
                at, run = self._begin_here(view, at, run)
        if run < end:
            self._sink.passed(view[run:end])

    @property
    def data_left(self) -> int:
        """How many bytes of a DATA frame that is routed `DATA` are still to come."""
        return self._left if self._route == _DATA else 0

    def skip(self, count: int) -> None:
        """Take note of *count* bytes of that frame that went where they belong past the splitter."""
        self._left -= count

    def _pass_preface(self, view: memoryview) -> int:
        if not self._preface:
            return 0
        # Passed before anything is made of what follows: after a wrong preface, all that follows is nonsense.
        piece = view[: self._preface]
        self._preface -= len(piece)
        self._sink.passed(piece)
        return len(piece)

    def _begin_here(self, view: memoryview, at: int, run: int) -> tuple[int, int]:
        high, low, kind, flags, stream_id = _HEADER.unpack_from(view, at)
        if kind == _DATA_FRAME and run < at:
            self._sink.passed(view[run:at])
            run = at
        self._begin(high << 8 | low, kind, flags, stream_id)
        if self._route == _PASS:
            return at + HEADER_SIZE, run
        if run < at:
            self._sink.passed(view[run:at])
        return at + HEADER_SIZE, at + HEADER_SIZE

    def _complete_header(self, view: memoryview, at: int) -> int:
        piece = view[at : at + HEADER_SIZE - len(self._header)]
        self._header += piece
        if len(self._header) == HEADER_SIZE:
            header = bytes(self._header)
            self._header.clear()
            high, low, kind, flags, stream_id = _HEADER.unpack(header)
            self._begin(high << 8 | low, kind, flags, stream_id)
            if self._route == _PASS:
                self._sink.passed(memoryview(header))
        return at + len(piece)

    def _begin(self, length: int, kind: int, flags: int, stream_id: int) -> None:
        self._route = self._sink.begin(length, kind, flags, stream_id & _STREAM_BITS)
        self._left, self._kind = length, kind
        if self._route == _WHOLE and not length:
            self._sink.whole(kind, b"")

    def _deliver(self, piece: memoryview) -> None:
        if self._route == _DATA:
            self._sink.data(piece)
        elif self._route == _WHOLE:
            self._body += piece
            if not self._left:
                body = bytes(self._body)
                self._body.clear()
                self._sink.whole(self._kind, body)


def data_header(length: int, stream_id: int) -> bytes:
    """Return the header of a DATA frame without flags."""
    return _HEADER.pack(length >> 8, length & 0xFF, _DATA_FRAME, 0, stream_id)
