"""Streams a file in messages with grpcio (C core): what Gproc's GetOutput does, without Gproc.

Messages are `google.protobuf.BytesValue`: one field of bytes, less work than a `JobOutput`, so this favours the peer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from gproc_bench.drivers.asked import tell

# Neither has type stubs.
grpc: Any = import_module("grpc")
wrappers: Any = import_module("google.protobuf.wrappers_pb2")

MESSAGE = 512 * 1024


def read(request: Any, context: object) -> Iterator[Any]:
    """Yield the content of the file that the request names."""
    descriptor = os.open(request.value, os.O_RDONLY)
    try:
        offset = 0
        while piece := os.pread(descriptor, MESSAGE, offset):
            offset += len(piece)
            yield wrappers.BytesValue(value=piece)
    finally:
        os.close(descriptor)


def main(ca: str, cert: str, key: str) -> None:
    """Serve until killed; the port is the first line on standard output."""
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_stream_rpc_method_handler(
        read,
        request_deserializer=wrappers.StringValue.FromString,
        response_serializer=wrappers.BytesValue.SerializeToString,
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Files", {"Read": handler})])
    credentials = grpc.ssl_server_credentials(
        [(Path(key).read_bytes(), Path(cert).read_bytes())],
        root_certificates=Path(ca).read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    tell(f"port {port}")
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:4])
