from __future__ import annotations

import pytest

from gproc.errors import Unauthenticated
from gproc.model import parse_identity


@pytest.mark.parametrize("name", ["a", "Alice", "0", "alice.b@example-1_2", "a" * 64])
def test_an_acceptable_name_owns_jobs(name: str) -> None:
    assert parse_identity(name) == name


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a\n", "a\0", "../x", "a" * 65, "é", "a\u202eb", "\u0430lice"])
def test_g3_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(Unauthenticated, match="not acceptable"):
        parse_identity(name)
