from typing import Any

import pytest

from gproc.store.reader import CHUNK_BYTES
from gproc.transport import CLIENT_LIMITS, TransportLimits
from gproc.transport.limits import BURST


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"stall_timeout": -1.0},
        {"max_age": 0.0},
        {"stream_window": 1000},
        {"connection_window": 2**31},
        {"frame_size": 16_383},
        {"frame_size": 2**24},
        {"message_size": 2**32},
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        TransportLimits(**wrong)


def test_a_frame_of_our_client_holds_a_whole_chunk_with_its_head() -> None:
    assert BURST == CHUNK_BYTES
    assert CLIENT_LIMITS.frame_size >= CHUNK_BYTES + 100
