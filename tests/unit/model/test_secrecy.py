from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gproc.model.secrecy import exposure

KEY = Path("pki/alice.key")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o000])
def test_a_key_that_is_its_owners_alone_is_a_secret(mode: int) -> None:
    assert exposure(KEY, stat.S_IFREG | mode) == ""


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_told_with_its_mode_and_the_cure(mode: int) -> None:
    said = f"others can read it (mode 0{mode:o}); `chmod 600 pki/alice.key`"
    assert exposure(KEY, stat.S_IFREG | mode) == said
