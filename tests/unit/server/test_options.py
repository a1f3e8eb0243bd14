from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gproc.errors import ConfigError
from gproc.model import OutputPolicy
from gproc.model.policy import Quotas, Rule
from gproc.server.options import ServeOptions, waiting_for_start
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


@pytest.mark.parametrize("addr", ["localhost", "localhost:65536", "::1:3000"])
def test_an_address_that_makes_no_sense_is_refused_at_once(addr: str) -> None:
    with pytest.raises(ConfigError, match=r"^address "):
        replace(RUNNING, addr=addr)
