"""What Gproc adds to grpclib and h2: TLS, limits against hostile peers, and a fast path for output.

- `HardenedServer` and `HardenedChannel` are grpclib's server and channel within `TransportLimits`.
- `output_room`, `send_output`, `recv_output` and `encode_output_head`, `decode_output` carry `JobOutput` messages past
  the layers that would copy their bytes: `fastpath` says how, and names the modules that take part.

grpclib is pinned, for many names touched here are private; a test asserts that each exists. Nothing here knows jobs.
What only servers need is imported when it is first used: a command that asks one question should not pay for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from gproc.transport.channel import HardenedChannel, NotHttp2Error
from gproc.transport.connection import ServerConnection, connection_of
from gproc.transport.fastpath import output_room, recv_output, send_output
from gproc.transport.job_output import MalformedOutput, OutputFields, decode_output, encode_output_head
from gproc.transport.limits import CLIENT_LIMITS, TransportLimits
from gproc.transport.streams import ConnectionLost

if TYPE_CHECKING:
    from gproc.transport.requests import Refusal
    from gproc.transport.server import HardenedServer, OnConnection

__all__ = [
    "CLIENT_LIMITS",
    "ConnectionLost",
    "HardenedChannel",
    "HardenedServer",
    "MalformedOutput",
    "NotHttp2Error",
    "OnConnection",
    "OutputFields",
    "Refusal",
    "ServerConnection",
    "TransportLimits",
    "connection_of",
    "decode_output",
    "encode_output_head",
    "output_room",
    "recv_output",
    "send_output",
]

_OF_SERVERS = {
    "HardenedServer": "gproc.transport.server",
    "OnConnection": "gproc.transport.server",
    "Refusal": "gproc.transport.requests",
}


def __getattr__(name: str) -> object:
    if name not in _OF_SERVERS:
        raise AttributeError(f"module 'gproc.transport' has no attribute {name!r}")
    return getattr(import_module(_OF_SERVERS[name]), name)
