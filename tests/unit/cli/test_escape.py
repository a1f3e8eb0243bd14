from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.cli.render.escape import TerminalFilter, visible

SGR = re.compile(r"\x1b\[[0-9;:]*m")
OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
tricky = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [b"\x1b", b"[", b"31m", b"\x1b[0m", b"\x1b]52;c;QQ\x07", b"\xc2\x9b", b"\x9b", b"\xf0\x9f", b"ok"]
        ),
    ),
    max_size=12,
).map(b"".join)


@given(tricky, st.lists(st.integers(0, 60), max_size=4))
def test_i1_nothing_but_colours_reaches_a_terminal_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    keep = TerminalFilter()
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    shown = "".join(keep.feed(data[a:b]) for a, b in pairwise(edges)) + keep.feed(b"", final=True)
    assert OBEYED.search(SGR.sub("", shown)) is None
    assert shown == TerminalFilter().feed(data, final=True)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain\n\ttext\r\n", "plain\n\ttext\r\n"),
        (b"\x1b[1;31mred", "\x1b[1;31mred\x1b[0m"),
        (b"\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        (b"\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        (b"\xc2\x9b2J", "\\x9b2J"),
        (b"\x9b2J", "\\x9b2J"),
        ("größe ✓".encode(), "größe ✓"),
        (b"a\x08b\x7f", "a\\x08b\\x7f"),
        (b"\x1b[" + b"1;" * 100 + b"m", "\\x1b[" + "1;" * 100 + "m"),
    ],
)
def test_what_a_terminal_is_shown(data: bytes, shown: str) -> None:
    assert TerminalFilter().feed(data, final=True) == shown


def test_a_colour_that_was_cut_waits_for_its_end() -> None:
    keep = TerminalFilter()
    assert keep.feed(b"a\x1b[3") == "a"
    assert keep.feed(b"1mb") == "\x1b[31mb"
    assert keep.feed(b"c") == "c"


def test_no_colour_outlives_the_output() -> None:
    keep = TerminalFilter()
    assert keep.feed(b"\x1b[31ma") + keep.feed(b"", final=True) == "\x1b[31ma\x1b[0m"
    assert TerminalFilter().feed(b"a", final=True) == "a"


def test_a_colour_is_at_most_64_characters_long_and_so_is_what_waits_for_its_end() -> None:
    longest, longer = b"\x1b[" + b"1;" * 32, b"\x1b[" + b"1;" * 32 + b"1"
    keep = TerminalFilter()
    assert (keep.feed(b"a" + longest), keep.feed(b"m")) == ("a", longest.decode() + "m")
    assert keep.feed(longer) == longer.decode().replace("\x1b", "\\x1b")


@given(st.text())
def test_i1_a_name_is_one_line_of_visible_characters(text: str) -> None:
    assert re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e\u2066]", visible(text)) is None
    visible(text).encode()


def test_i1_a_name_shows_what_it_hides() -> None:
    assert visible("a\nb\x1b[2Jc\u202ed") == "a\\nb\\x1b[2Jc\\u202ed"
