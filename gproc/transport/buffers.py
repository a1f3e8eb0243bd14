"""What a stream has received and nobody has read yet.

grpclib keeps a queue of frames, trusts the length that a message announces, and takes an empty frame for the end. This
buffer takes its place in `grpclib.protocol.Stream`. It knows how gRPC frames messages (a flag, four bytes of length,
the message), so that a message that is too large, compressed or cut off is told from the first bytes, and it has two
ways to be read:

- `read`, as grpclib's own ``recv_message`` does: prefix, then body. Bytes lie in one `bytearray`, however small the
  frames were.
- `read_message`, for output, the end of the fast path (`fastpath`): messages are put together as their bytes arrive,
  each byte copied once at most, and wait whole.

**Flow control.** What arrived and was not read is owed to the peer, which may not send more than a window. A byte is
acknowledged when it is read, or at once while a reader waits for the message that it belongs to; so memory is bounded
by one window and one message, and a message larger than a window still gets through. Of output it is told in
parts of the window that are worth a frame; of requests at once, for many of them wait for room on one connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import Buffer

__all__ = ["MessageAssembler", "MessageBuffer"]

PREFIX_SIZE = 5


def check_prefix(prefix: bytes | bytearray, *, largest: int) -> int:
    """Return the length of the message that *prefix* announces; raise `GRPCError` if we do not take it."""
    if prefix[0]:
        raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported; send them without compression")
    length = int.from_bytes(prefix[1:PREFIX_SIZE], "big")
    if length > largest:
        raise GRPCError(Status.RESOURCE_EXHAUSTED, f"message of {length} bytes: larger than the limit of {largest}")
    return length


class MessageAssembler:
    """Puts messages together from pieces cut anywhere; nothing but bytes in, messages out."""

    def __init__(self, *, largest: int) -> None:
        self.messages: deque[memoryview] = deque()
        """Whole messages that nobody took yet."""
        self._largest = largest
        self._prefix = bytearray()
        self._message: bytearray | None = None
        self._filled = 0

    @property
    def is_between_messages(self) -> bool:
        """Whether all that was fed belongs to whole messages."""
        return self._message is None and not self._prefix

    def feed(self, view: memoryview) -> None:
        """Take the next bytes; raise `GRPCError` when they announce a message that we do not take."""
        at, end = 0, len(view)
        while at < end:
            if self._message is not None:
                at += self._fill(self._message, view[at:])
            else:
                missing = PREFIX_SIZE - len(self._prefix)
                self._prefix += view[at : at + missing]
                at += missing
                if len(self._prefix) == PREFIX_SIZE:
                    at += self._begin(view[at:])

    def place(self, most: int) -> memoryview | None:
        """Return where the next bytes of the message that is being put together go, for *most* bytes; None between two.

        Say with `placed` how many were put there, before anything else is fed.
        """
        if self._message is None:
            return None
        return memoryview(self._message)[self._filled : self._filled + most]

    def placed(self, count: int) -> None:
        """Take note of *count* bytes that were put where `place` said."""
        if self._message is not None:
            self._advance(self._message, count)

    def _begin(self, rest: memoryview) -> int:
        length = check_prefix(self._prefix, largest=self._largest)
        self._prefix.clear()
        if length <= len(rest):
            self.messages.append(memoryview(bytes(rest[:length])))
            return length
        self._message, self._filled = bytearray(length), 0
        return self._fill(self._message, rest)

    def _fill(self, message: bytearray, rest: memoryview) -> int:
        step = min(len(message) - self._filled, len(rest))
        message[self._filled : self._filled + step] = rest[:step]
        self._advance(message, step)
        return step

    def _advance(self, message: bytearray, step: int) -> None:
        self._filled += step
        if self._filled == len(message):
            self.messages.append(memoryview(message).toreadonly())
            self._message = None


class MessageBuffer(Buffer):
    """The unread part of one stream; *acknowledge* tells the peer that it may send so many bytes more of its *window*.

    *cut_off* makes the error for a stream that ends inside a message. One reader at a time.
    """

    def __init__(
        self, acknowledge: Callable[[int], None], *, window: int, largest: int, cut_off: Callable[[], Exception]
    ) -> None:
        # The base class is not initialised on purpose: none of its queues is used.
        self._acknowledge = acknowledge
        self._largest = largest
        self._cut_off = cut_off
        self._bytes = bytearray()
        self._owed = 0  # bytes of the window that arrived and were not read
        self._due = 0  # bytes that were read and not acknowledged yet
        self._worth_a_word = window // 8
        self._ended = False
        self._wants_body = False  # whether the next `read` is for the body of a message
        self._assembler: MessageAssembler | None = None
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._is_read = False  # whether a reader is waiting

    def add(self, data: bytes | memoryview, ack_size: int) -> None:
        """Take what a DATA frame carried; *ack_size* counts its padding too."""
        self._owed += ack_size
        if self._assembler is None:
            self._bytes += data
            self._changed.set()
            return
        self._assemble(memoryview(data))
        self._tell_reader(self._assembler)

    def place(self, most: int) -> memoryview | None:
        """Return where *most* bytes of data, or fewer, may be put instead of adding them; None if they must be added.

        Say with `placed` how many were put there, before anything is added.
        """
        return None if self._assembler is None or self._error is not None else self._assembler.place(most)

    def placed(self, count: int) -> None:
        """Take *count* bytes that were put where `place` said."""
        if self._assembler is not None:
            self._owed += count
            self._assembler.placed(count)
            self._tell_reader(self._assembler)

    def eof(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._changed.set()

    def unacked_size(self) -> int:
        """Return what is owed, and owe it no more: the stream is over."""
        owed, self._owed, self._due = self._owed + self._due, 0, 0
        return owed

    async def read(self, size: int) -> bytes:
        """Return *size* bytes, or none at the end: by turns the prefix of a message and its body.

        Raises `GRPCError` for a prefix that we do not take, and what *cut_off* makes at an end inside a message.
        """
        if size and not await self._fetch(size):
            return b""
        piece = bytes(self._bytes[:size])
        del self._bytes[:size]
        self._settle(min(self._owed, size) if self._bytes else self._owed)
        if not self._wants_body:
            check_prefix(piece, largest=self._largest)
        self._wants_body = not self._wants_body
        return piece

    async def _fetch(self, size: int) -> bool:
        while len(self._bytes) < size and not self._ended:
            self._settle(self._owed)
            await self._wait()
        if len(self._bytes) >= size:
            return True
        if self._bytes or self._wants_body:
            raise self._cut_off()
        return False

    async def read_message(self) -> memoryview | None:
        """Return the next whole message, or None at the end; raises like `read`.

        The first call turns the buffer to putting messages together; `read` cannot be used any more.
        """
        assembler = self._assembler or self._start_assembling()
        while not assembler.messages:
            if self._error is not None:
                raise self._error
            if self._ended:
                self._settle(self._owed)
                if assembler.is_between_messages:
                    return None
                raise self._cut_off()
            self._settle(self._owed)
            await self._wait()
        message = assembler.messages.popleft()
        self._settle(min(self._owed, len(message) + PREFIX_SIZE))
        return message

    def _start_assembling(self) -> MessageAssembler:
        self._assembler = MessageAssembler(largest=self._largest)
        self._assemble(memoryview(bytes(self._bytes)))
        self._bytes.clear()
        return self._assembler

    def _assemble(self, view: memoryview) -> None:
        if self._error is None and self._assembler is not None:
            try:
                self._assembler.feed(view)
            except GRPCError as error:
                self._error = error

    def _tell_reader(self, assembler: MessageAssembler) -> None:
        if self._is_read:
            self._settle(self._owed)
            if assembler.messages or self._error is not None:
                self._changed.set()

    def _settle(self, size: int) -> None:
        self._owed -= size
        self._due += size
        if self._due >= self._worth_a_word or self._assembler is None:
            due, self._due = self._due, 0
            self._acknowledge(due)

    async def _wait(self) -> None:
        self._changed.clear()
        self._is_read = True
        try:
            await self._changed.wait()
        finally:
            self._is_read = False
