from __future__ import annotations

import gc

import pytest

from gproc.store.memory import ChunkMemory
from gproc.store.reader import CHUNK_BYTES


def _filled(memory: ChunkMemory, size: int, byte: bytes) -> memoryview:
    place = memory.take(size)
    place[:] = byte * size
    return place


def test_a_chunk_that_somebody_keeps_stays_as_it_is() -> None:
    memory = ChunkMemory(CHUNK_BYTES)
    kept = [_filled(memory, CHUNK_BYTES, bytes((number,))) for number in range(5)]
    assert [bytes(chunk) for chunk in kept] == [bytes((number,)) * CHUNK_BYTES for number in range(5)]


def test_a_part_of_a_chunk_is_kept_like_a_whole_one() -> None:
    memory = ChunkMemory(CHUNK_BYTES)
    part = _filled(memory, CHUNK_BYTES, b"a").toreadonly()[1000:2000]
    gc.collect()
    _filled(memory, CHUNK_BYTES, b"b")
    assert bytes(part) == b"a" * 1000


def test_the_memory_of_a_chunk_that_nobody_keeps_is_used_again() -> None:
    memory = ChunkMemory(CHUNK_BYTES)
    first = _filled(memory, CHUNK_BYTES, b"a").obj
    assert memory.take(CHUNK_BYTES).obj is first
    assert memory.take(CHUNK_BYTES - 1).obj is first


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES // 2, CHUNK_BYTES + 1])
def test_a_chunk_of_another_size_has_no_more_memory_than_it_needs(size: int) -> None:
    assert len(bytes(ChunkMemory(CHUNK_BYTES).take(size).obj)) == size


@pytest.mark.parametrize("size", [CHUNK_BYTES // 2 + 1, CHUNK_BYTES - 1, CHUNK_BYTES])
def test_a_chunk_is_as_long_as_was_asked_for(size: int) -> None:
    assert len(ChunkMemory(CHUNK_BYTES).take(size)) == size
