from __future__ import annotations

import random

import pytest
from gproc_chaos.readers import is_written

from gproc.testing.faults.pattern import pattern

_BLOCK = 1 << 19


@pytest.mark.parametrize("offset", [0, 1, _BLOCK - 3, 255 * _BLOCK + 5, 256 * _BLOCK - 1, 10 * 2**30 - 7, 2**45 + 3])
def test_what_a_writer_writes_is_as_written(offset: int) -> None:
    assert is_written(pattern(offset, 2 * _BLOCK), offset)
    assert is_written(memoryview(pattern(offset, 100)), offset)


@pytest.mark.parametrize("offset", [0, _BLOCK - 50, 10 * 2**30 - 7])
def test_one_bit_anywhere_that_is_not_as_written_is_seen(offset: int) -> None:
    for place in range(100):
        data = bytearray(pattern(offset, 100))
        data[place] ^= 1 << random.randrange(8)
        assert not is_written(bytes(data), offset)


@pytest.mark.parametrize("distance", [1, 8, 4096, _BLOCK, 256 * _BLOCK])
def test_bytes_from_elsewhere_are_seen(distance: int) -> None:
    assert not is_written(pattern(distance, 4096), 0)
    assert not is_written(pattern(0, 4096), distance)
