from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from gproc.config import parse_server_config

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def first_block(heading: str) -> list[str]:
    _, _, below = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")
    match = re.search(r"^```\w*\n(.*?)^```", below.partition("\n## ")[0], re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[1].splitlines()


@pytest.mark.parametrize("heading", ["Quick start", "Tests"])
def test_the_readme_gives_one_command_line_that_does_all_the_setting_up(heading: str) -> None:
    (line,) = first_block(heading)
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_servers_configuration_in_the_reference_is_one_that_it_reads() -> None:
    blocks = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "docs/reference/configuration.md").read_text(), re.DOTALL | re.MULTILINE
    )
    config = parse_server_config(tomllib.loads(blocks[0]), source="the reference")
    assert config.users["alice"] == "alice"
    assert [rule.owner for rule in config.policy] == ["ci@*", "*"]
