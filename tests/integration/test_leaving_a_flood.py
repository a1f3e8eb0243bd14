from __future__ import annotations

from gproc.testing import EmbeddedServer, embedded_server


async def test_leaving_a_flood_again_and_again_is_no_attack_and_leaves_other_requests_of_the_connection_alone() -> None:
    async with embedded_server() as server, server.client("alice") as client:
        flood = await client.start("head", ["-c", "200M", "/dev/zero"])
        async with client.output(flood.id) as other:
            await anext(other)
            for _ in range(40):
                async with client.output(flood.id) as pieces:
                    await anext(pieces)
                    await anext(pieces)
            await anext(other)
            assert other.breaks == 0
        assert connections(server) == 1


def connections(server: EmbeddedServer) -> int:
    return len(server.server._server.connections)
