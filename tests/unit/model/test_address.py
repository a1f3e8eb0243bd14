from __future__ import annotations

from typing import Any

import pytest

from gproc.errors import ConfigError
from gproc.model.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:3000", "localhost", 3000),
        ("192.0.2.7:1", "192.0.2.7", 1),
        ("[::1]:3000", "::1", 3000),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
        (" jobs.example.org:443 ", "jobs.example.org", 443),
        ("jobs.example.org.:443", "jobs.example.org.", 443),
    ],
)
def test_host_and_port_are_read(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text.strip()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:3000", "localhost", 3000),
        ("localhost:0", "localhost", 0),
        (":3000", "", 3000),
        ("[::1]:3000", "::1", 3000),
        ("10.0.0.1:65535", "10.0.0.1", 65535),
    ],
)
def test_a_server_may_listen_at_all_interfaces_and_at_a_free_port(text: str, host: str, port: int) -> None:
    assert parse_address(text, to_listen=True) == Address(host, port)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not HOST:PORT"),
        ("localhost", "the port is missing"),
        ("localhost:", "not HOST:PORT"),
        ("localhost:http", "not HOST:PORT"),
        ("localhost:-1", "not HOST:PORT"),
        ("localhost:٣", "not HOST:PORT"),
        ("::1:3000", "not HOST:PORT"),
        ("localhost:65536", "ports are 0 to 65535"),
    ],
)
def test_where_a_server_cannot_listen_is_refused(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_address(text, to_listen=True)


@pytest.mark.parametrize("text", ["localhost", "[::1]"])
def test_a_missing_port_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert f"the port is missing; write {text}:3000" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":3000",
        "::1",
        "::1:3000",
        "a:b",
        "a:1:2",
        "http://x:1",
        "a b:1",
        "[x]:1]",
        "h:",
        "a..b:1",
        ".b:1",
        f"{64 * 'x'}:1",
        None,
        3000,
        b"localhost:3000",
    ],
)
def test_what_is_no_address_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"write localhost:3000, or \[::1\]:3000"):
        parse_address(text)


@pytest.mark.parametrize("port", ["0", "65536", "99999999999"])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match="is not a port"):
        parse_address(f"localhost:{port}")
