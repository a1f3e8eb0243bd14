from __future__ import annotations

import pytest

from gproc.errors import ConfigError
from gproc.server.options import parse_address


@pytest.mark.parametrize(
    ("addr", "parsed"),
    [
        ("localhost:3000", ("localhost", 3000)),
        ("localhost:0", ("localhost", 0)),
        (":3000", (None, 3000)),
        ("[::1]:3000", ("::1", 3000)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(addr: str, parsed: tuple[str | None, int]) -> None:
    assert parse_address(addr) == parsed


@pytest.mark.parametrize(
    "addr", ["", "localhost", "localhost:", "localhost:http", "localhost:65536", "localhost:-1", "localhost:٣"]
)
def test_what_is_no_address_is_named(addr: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_address(addr)
