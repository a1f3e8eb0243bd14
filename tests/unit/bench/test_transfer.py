from __future__ import annotations

import pytest
from gproc_bench.processes import CallFailed
from gproc_bench.transfer import seconds_of


def test_a_whole_transfer_counts() -> None:
    assert seconds_of({"seconds": 2, "bytes": 10, "sha256": ""}, size=10, sha256="abc") == (2.0,)
    assert seconds_of({"seconds": 2, "bytes": 10, "sha256": "abc"}, size=10, sha256="abc") == (2.0,)


def test_a_transfer_that_lost_a_byte_is_no_measurement() -> None:
    with pytest.raises(CallFailed, match="9 bytes arrived instead of 10"):
        seconds_of({"seconds": 2, "bytes": 9, "sha256": ""}, size=10)


def test_a_transfer_of_other_bytes_is_no_measurement() -> None:
    with pytest.raises(CallFailed, match="not the right ones"):
        seconds_of({"seconds": 2, "bytes": 10, "sha256": "abd"}, size=10, sha256="abc")
