from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

UNIT = Path(__file__).parents[3] / "docs" / "howto" / "gproc.service"


def test_e11_the_unit_lets_jobs_live_when_the_server_is_restarted_and_gives_it_its_cgroup() -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd minds the case
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    service = unit["Service"]
    assert service["KillMode"] == "process"
    assert (service["Delegate"], service["DelegateSubgroup"]) == ("yes", "server")
    assert "serve --state-dir" in service["ExecStart"]
