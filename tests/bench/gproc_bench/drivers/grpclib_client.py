"""Makes calls over one connection with grpclib and plain asyncio, two for each job there would be: Start and Wait."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from grpclib.client import Channel, UnaryUnaryMethod

from gproc_bench.drivers.asked import serve_async
from gproc_bench.drivers.grpclib_server import METHOD, AsItIs
from gproc_bench.drivers.many import timed
from gproc_bench.drivers.tls import client_context

MESSAGE = bytes(32)


async def main(port: str, ca: str, cert: str, key: str) -> None:
    """Connect once, then call as often as is asked for."""
    context = client_context(ca, cert, key)
    context.set_alpn_protocols(["h2"])
    async with Channel("127.0.0.1", int(port), ssl=context, codec=AsItIs()) as channel:
        call = UnaryUnaryMethod[bytes, bytes](channel, METHOD, bytes, bytes)

        async def one() -> None:
            for _ in ("Start", "Wait"):
                if await call(MESSAGE) != MESSAGE:
                    raise RuntimeError("a call was answered with something else")

        await serve_async({"jobs": partial(timed, one)})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
