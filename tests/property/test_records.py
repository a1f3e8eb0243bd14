from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.errors import StateError
from gproc.store.records import TornRecordError, decode, encode

texts = st.text(max_size=10)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
documents = st.dictionaries(
    texts,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)),
    max_size=4,
)


@given(documents)
def test_a_document_reads_back_equal(document: dict[str, object]) -> None:
    assert decode(encode(document)) == document


@given(st.binary())
def test_any_bytes_decode_or_raise_the_error_for_it(data: bytes) -> None:
    with pytest.raises(TornRecordError):
        decode(data)


@given(documents, st.data())
def test_e6_a_record_cut_anywhere_is_torn(document: dict[str, object], data: st.DataObject) -> None:
    whole = encode(document)
    with pytest.raises(TornRecordError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(documents, st.data())
def test_e6_a_record_with_any_bytes_changed_is_the_same_or_refused(
    document: dict[str, object], data: st.DataObject
) -> None:
    whole = bytearray(encode(document))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[position] ^= data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(whole))
    except StateError:
        return
    assert found == document


@given(documents, st.binary(min_size=1, max_size=5))
def test_a_record_with_more_behind_it_is_torn(document: dict[str, object], more: bytes) -> None:
    with pytest.raises(TornRecordError):
        decode(encode(document) + more)
