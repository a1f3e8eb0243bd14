"""Output over a line that breaks at the worst moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gproc_support.waiting import eventually

from gproc.client import Client, Output
from gproc.model import Chunk
from gproc.testing import embedded_server
from gproc.testing.faults import Line


async def test_who_follows_a_tail_misses_nothing_that_is_written_while_the_line_is_down(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo before; until [ -e '{go}' ]; do sleep 0.02; done; echo after"
    async with embedded_server() as server, Line(server.addr) as line:
        alice, files = server.client("alice"), server.files("alice")
        async with Client(line.addr, cacert=files.cacert, cert=files.cert, key=files.key) as far:
            job = await alice.start("sh", ["-c", script])
            assert isinstance(await anext(aiter(job.output())), Chunk)
            async with far.output(job.id, tail_lines=0) as output:
                reading = asyncio.create_task(_read(output))
                await eventually(lambda: output.offset == len("before\n"))
                line.stall()
                go.touch()
                await job.wait()
                line.cut()
                line.resume()
                assert await reading == b"after\n"
                assert output.breaks == 1


async def _read(output: Output) -> bytes:
    return b"".join([bytes(piece.data) async for piece in output if isinstance(piece, Chunk)])
