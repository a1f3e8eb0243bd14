"""Every bound that the transport holds, in one frozen value.

Times are seconds of the monotonic clock, sizes are bytes. `TransportLimits()` is right for a server that is open to
hostile peers; `CLIENT_LIMITS` is right for a client, which trusts its server enough to take much at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["BURST", "CLIENT_LIMITS", "TransportLimits"]

KIB = 1024
MIB = 1024 * KIB
BURST = 512 * KIB
"""What one stream sends at once, at most; after so much it is another's turn. A third of a millisecond's worth."""
SMALLEST_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
SMALLEST_FRAME = 16_384
LARGEST_FRAME = 2**24 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """What one connection, and all of them together, may cost."""

    connections: int = 1000
    """Connections in all; one more is closed at once."""
    connections_per_owner: int = 64
    """Connections of one owner, 0 for none; requests on a few more are answered RESOURCE_EXHAUSTED."""
    pending_handshakes: int = 128
    """TLS handshakes in progress; for one more, the oldest is dropped."""
    handshake_timeout: float = 5.0
    """For the TLS handshake to finish."""
    shutdown_timeout: float = 5.0
    """For the peer to answer the end of TLS."""
    connect_timeout: float = 10.0
    """Client: for name, TCP and TLS together."""
    first_request_timeout: float = 10.0
    """Server: for the first request to begin after the handshake."""
    idle_timeout: float = 900.0
    """Server: for a connection without any request to stay open."""
    max_age: float | None = None
    """Server: for a connection to be told to go; requests in progress may finish. None: for ever."""
    close_timeout: float = 2.0
    """For the last bytes of a closing connection to leave."""

    streams: int = 256
    """Requests at a time on one connection."""
    stream_window: int = SMALLEST_WINDOW
    """What a peer may send on one stream before we read it."""
    connection_window: int = 1 * MIB
    """What a peer may send on all streams before we read it."""
    frame_size: int = SMALLEST_FRAME
    """Largest frame that we accept."""
    message_size: int = 128 * KIB
    """Largest message that we accept."""
    read_size: int = 16 * KIB
    """How much is read from one connection before it is another's turn."""

    budget_period: float = 10.0
    """In which the two budgets that follow are counted."""
    control_frames: int = 2000
    """PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown and empty frames from a peer; what we send earns more."""
    resets: int = 200
    """Streams that are reset, by the peer or by its fault."""
    control_backlog: int = 256 * KIB
    """Answers written while the peer does not read."""

    write_buffer: int = 64 * KIB
    """What is encrypted and waiting before senders are told to wait."""
    smallest_send: int = 1 * KIB
    """No smaller piece of a message is sent because a window is small, except its tail."""
    stall_timeout: float = 30.0
    """For a sender to wait without any progress before its stream is cut."""
    keepalive_time: float = 60.0
    """Silence after which a peer is asked whether it is there."""
    keepalive_timeout: float = 20.0
    """Silence after that question, without reading anything either, until it is taken for dead."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0 and field.name != "connections_per_owner":
                raise ValueError(f"{field.name}: {value} is not positive")
        _between("connections_per_owner", self.connections_per_owner, 0, 2**31 - 1)
        _between("stream_window", self.stream_window, SMALLEST_WINDOW, LARGEST_WINDOW)
        _between("connection_window", self.connection_window, SMALLEST_WINDOW, LARGEST_WINDOW)
        _between("frame_size", self.frame_size, SMALLEST_FRAME, LARGEST_FRAME)
        _between("message_size", self.message_size, 1, 2**32 - 1)


def _between(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name}: {value} is not between {least} and {most}")


CLIENT_LIMITS = TransportLimits(
    stream_window=16 * MIB,
    connection_window=32 * MIB,
    frame_size=BURST + 1 * KIB,
    message_size=4 * MIB,
    read_size=256 * KIB,
    control_frames=1_000_000,
    resets=1_000_000,
    control_backlog=16 * MIB,
    write_buffer=256 * KIB,
)
"""For a client of a server that it has authenticated: large windows and frames, and nothing is taken for abuse."""
