"""What Gproc adds to grpclib and h2, by subclassing: limits against hostile peers, and a fast path for output.

- `HardenedServer` and `HardenedChannel` are grpclib's server and channel within `TransportLimits`.
- `output_room`, `send_output`, `recv_output` and `encode_output_head`, `decode_output` carry `JobOutput` messages past
  the layers that would copy their bytes.

grpclib is pinned, for many names touched here are private; a test asserts that each exists. Nothing here knows jobs.
"""

from gproc.transport.channel import HardenedChannel
from gproc.transport.connection import ServerConnection
from gproc.transport.job_output import MalformedOutput, OutputFields, decode_output, encode_output_head
from gproc.transport.limits import CLIENT_LIMITS, TransportLimits
from gproc.transport.output import connection_of, output_room, recv_output, send_output
from gproc.transport.requests import Refusal
from gproc.transport.server import HardenedServer, OnConnection
from gproc.transport.streams import ConnectionLost

__all__ = [
    "CLIENT_LIMITS",
    "ConnectionLost",
    "HardenedChannel",
    "HardenedServer",
    "MalformedOutput",
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
