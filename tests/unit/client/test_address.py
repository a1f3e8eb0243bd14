from __future__ import annotations

import pytest

from gproc.client.address import Address, parse_address
from gproc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:3000", "localhost", 3000),
        ("192.0.2.7:1", "192.0.2.7", 1),
        ("[::1]:3000", "::1", 3000),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
        (" jobs.example.org:443 ", "jobs.example.org", 443),
    ],
)
def test_host_and_port_are_read(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text.strip()


@pytest.mark.parametrize("text", ["localhost", "[::1]"])
def test_a_missing_port_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert f"the port is missing; write {text}:3000" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", ":3000", "::1", "::1:3000", "a:b", "a:1:2", "http://x:1", "a b:1", "[x]:1]", "h:"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write localhost:3000, or \[::1\]:3000"):
        parse_address(text)


@pytest.mark.parametrize("port", ["0", "65536", "99999999999"])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match="is not a port"):
        parse_address(f"localhost:{port}")
