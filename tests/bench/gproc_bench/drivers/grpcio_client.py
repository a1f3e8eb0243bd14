"""Receives a file in messages with grpcio (C core)."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from gproc_bench.drivers.asked import Answer, serve
from gproc_bench.drivers.counting import Arrivals

# Neither has type stubs.
grpc: Any = import_module("grpc")
wrappers: Any = import_module("google.protobuf.wrappers_pb2")


def main(port: str, ca: str, cert: str, key: str) -> None:
    """Connect once, then fetch what is asked for."""
    credentials = grpc.ssl_channel_credentials(*(Path(path).read_bytes() for path in (ca, key, cert)))
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        read = channel.unary_stream(
            "/bench.Files/Read",
            request_serializer=wrappers.StringValue.SerializeToString,
            response_deserializer=wrappers.BytesValue.FromString,
        )

        def fetch(path: str, size: int, hashed: bool) -> Answer:
            arrivals = Arrivals(hashed=hashed)
            for message in read(wrappers.StringValue(value=path)):
                arrivals.add(message.value)
            return arrivals.result()

        serve({"fetch": fetch})


if __name__ == "__main__":
    main(*sys.argv[1:5])
