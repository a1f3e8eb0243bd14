from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gproc.errors import ConfigError
from gproc.model import OutputPolicy
from gproc.model.policy import Quotas, Rule
from gproc.server.options import ServeOptions, parse_address, waiting_for_start
from gproc.store.retention import Retention
from gproc.worker.settings import SupervisorSettings

HERE = Path()
RUNNING = ServeOptions(addr="localhost:0", cacert=HERE, cert=HERE, key=HERE, state_dir=HERE)


def test_what_a_reload_changes_does_not_wait_for_the_next_start() -> None:
    wanted = replace(RUNNING, users={"alice": "alice"}, rules=(Rule(deny=("sh",)),), quotas=Quotas(running_jobs=1))
    assert waiting_for_start(RUNNING, wanted) == ()


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (replace(RUNNING, settings=SupervisorSettings(retention=Retention(count=1))), ("retention",)),
        (
            replace(RUNNING, settings=SupervisorSettings(output_bytes=1, output_policy=OutputPolicy.STOP)),
            ("output.max_bytes", "output.policy"),
        ),
        (replace(RUNNING, settings=SupervisorSettings(owner_output_bytes=1)), ("quotas.output_bytes",)),
        (
            replace(RUNNING, settings=SupervisorSettings(reserve_bytes=1), quotas=Quotas(connections=1)),
            ("disk.reserve", "quotas.connections"),
        ),
    ],
)
def test_what_waits_for_the_next_start_is_named_as_in_the_configuration(
    wanted: ServeOptions, keys: tuple[str, ...]
) -> None:
    assert waiting_for_start(RUNNING, wanted) == keys


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
