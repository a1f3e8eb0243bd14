"""Those who listen to a shim and ask things of it: normally one server, at times none."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from gproc.worker.protocol import MAX_LINE, Lines, Message, encode
from gproc.worker.shim.loop import Loop

__all__ = ["Link", "Links"]

_MAX_UNSENT = MAX_LINE
_LAST_WORDS_SECONDS = 1.0


class Link:
    """One connection. What it could not be told at once waits; of announcements only the latest does."""

    def __init__(self, links: Links, connection: socket.socket) -> None:
        self._links = links
        self._connection = connection
        self._lines = Lines()
        self._unsent = b""
        self._stale: set[str] = set()
        connection.setblocking(False)
        links.loop.watch(connection.fileno(), self._ready)

    def greet(self) -> None:
        """Say who we are, and how things are."""
        self.send(*self._links.greeting())

    def send(self, *messages: Message) -> None:
        """Send *messages*, now or as soon as the peer reads again; together, for each write wakes the peer."""
        self._unsent += b"".join(map(encode, messages))
        self._flush()

    def announce(self, topic: str) -> None:
        """Send the latest of *topic*; while the peer does not read, later announcements replace earlier ones."""
        if self._unsent:
            self._stale.add(topic)
        else:
            self.send(self._links.latest(topic))

    def say_goodbye(self, *, keep: socket.socket | None = None) -> None:
        """Send what is left, for a moment, and close, unless this is *keep* and all could be sent."""
        try:
            self._connection.settimeout(_LAST_WORDS_SECONDS)
            self._connection.sendall(self._unsent + b"".join(encode(self._links.latest(t)) for t in self._stale))
        except OSError:
            self._close()
        if self._connection is not keep:
            self._close()
        self._links.dropped(self)

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        if events & ~select.EPOLLOUT:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._connection.recv(65536)
            messages = self._lines.feed(data)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            data, messages = b"", []
        if not data:
            self._close()
            return
        for message in messages:
            self._links.asked(self, message)

    def _flush(self) -> None:
        if self._connection.fileno() < 0:
            return
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        if not self._unsent and self._stale:
            topics, self._stale = self._stale, set()
            for topic in sorted(topics):
                self.announce(topic)
            return
        if len(self._unsent) > _MAX_UNSENT:
            self._close()
            return
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)
        self._links.loop.watch(self._connection.fileno(), self._ready, wanted)

    def _close(self) -> None:
        if self._connection.fileno() >= 0:
            self._links.loop.forget(self._connection.fileno())
            self._connection.close()
        self._links.dropped(self)


class Links:
    """All connections of a shim, and the socket where new ones come in."""

    def __init__(
        self,
        loop: Loop,
        *,
        greeting: Callable[[], list[Message]],
        latest: Callable[[str], Message],
        asked: Callable[[Link, Message], None],
    ) -> None:
        self.loop = loop
        self.latest = latest
        self.asked = asked
        self.greeting = greeting
        self._links: set[Link] = set()
        self._listener: socket.socket | None = None

    def listen(self, path: str) -> None:
        """Let servers come in at the Unix socket *path*, relative to the current directory."""
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.bind(path)
        listener.listen(8)
        self.loop.watch(listener.fileno(), lambda _: self._accept(listener))

    def add(self, connection: socket.socket) -> Link:
        """Take over *connection*, to be greeted; raises `OSError` if it cannot be watched."""
        link = Link(self, connection)
        self._links.add(link)
        return link

    def announce(self, topic: str) -> None:
        """Tell everybody the latest of *topic*."""
        for link in list(self._links):
            link.announce(topic)

    def say_goodbye(self, *, keep: socket.socket | None = None) -> None:
        """Send everybody what is left, and close all connections but *keep*, and let nobody in any more."""
        for link in list(self._links):
            link.say_goodbye(keep=keep)
        if self._listener is not None:
            self._listener.close()

    def dropped(self, link: Link) -> None:
        """Forget a connection that is closed."""
        self._links.discard(link)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        try:
            self.add(connection).greet()
        except OSError:
            # The kernel watches no more for us: whoever knocks may come again, and the job goes on.
            connection.close()
