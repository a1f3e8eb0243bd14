from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from rich.style import Style

from gproc.cli.live.screen import Screen


def lines(*pieces: bytes, width: int = 80, height: int = 50) -> list[str]:
    screen = Screen()
    for piece in pieces:
        screen.feed(piece)
    return [row.plain for row in screen.rows(width, height)]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\n\nthree", ["", "", "three"]),
        (b" 10% #\r 90% #########\r100% done!", ["100% done!####"]),
        (b" 90% #########\r\x1b[Kdone", ["done"]),
        (b"working\x1b[2K\rdone", ["done"]),
        (b"abcdef\b\b\b\x1b[1Kx", ["   xef"]),
        (b"abc\b\b\x1b[3Kx", ["axc"]),
        (b"abc\r\x1b[Jx", ["xbc"]),
        (b"abc\b\b\x1b[1Jx", ["axc"]),
        (b"abcdef\r\x1b[2;3Hx", ["xbcdef"]),
        (b"abc\b\bX", ["aXc"]),
        (b"\b\ba", ["a"]),
        (b"a\tb", ["a       b"]),
        (b"\x1b]0;title\x07a\x1b[2Jb\x1b(Bc\x1bPdcs\x1b\\d\x07e", ["abcde"]),
        ("✓ größe".encode(), ["✓ größe"]),
        (b"\xff\xfe", ["\ufffd\ufffd"]),
        ("a\u202eb\u200bc".encode(), ["abc"]),
        (b"\x1b[" + b"1" * 5000 + b"ma", ["a"]),
        (b"", []),
    ],
)
def test_what_a_pane_shows(data: bytes, shown: list[str]) -> None:
    assert lines(data) == shown


def test_long_lines_are_folded_and_the_last_rows_kept() -> None:
    assert lines(b"abcdefgh\nxyz\n", width=3, height=3) == ["def", "gh", "xyz"]


def test_wide_characters_do_not_overflow() -> None:
    assert lines("日本語".encode(), width=5) == ["日本", "語"]
    assert lines("日".encode(), width=1) == ["日"]


def test_colours_of_the_job_are_kept_until_it_changes_them() -> None:
    screen = Screen()
    screen.feed(b"\x1b[1;31mred\x1b[0m plain \x1b[38;5;")
    screen.feed(b"33mblue\x1b[48;2;1;2;3m")
    (row,) = screen.rows(80, 5)
    styles = {str(row.plain[span.start]): span.style for span in row.spans}
    red = styles["r"]
    assert not isinstance(red, str)
    assert red.bold
    assert red.color is not None
    assert red.color.number == 1
    blue = row.spans[-1].style
    assert not isinstance(blue, str)
    assert blue.color is not None
    assert blue.color.number == 33


@pytest.mark.parametrize(
    ("parameters", "style"),
    [
        ("0", Style.null()),
        ("", Style.null()),
        ("38;5;33", Style(bold=True, color=Color.from_ansi(33))),
        ("38;5;999", Style(bold=True, color=Color.from_ansi(255))),
        ("48;5;33", Style(bold=True, bgcolor=Color.from_ansi(33))),
        ("38;2;7;8;9", Style(bold=True, color=Color.from_rgb(7, 8, 9))),
        ("48;2;7", Style(bold=True, bgcolor=Color.from_rgb(7, 0, 0))),
        ("38;9;3", Style(bold=True, italic=True)),
        ("38;5", Style(bold=True)),
        ("38", Style(bold=True)),
    ],
)
def test_what_parameters_make_of_bold(parameters: str, style: Style) -> None:
    screen = Screen()
    screen.feed(f"\x1b[1m\x1b[{parameters}mx".encode())
    (row,) = screen.rows(80, 5)
    assert (row.spans[-1].style if row.spans else Style.null()) == style


pieces = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [
                b"\x1b[31m",
                b"\x1b[K",
                b"\r",
                b"\n",
                b"\x1b]0;x",
                b"\x07",
                b"\x1b[",
                b"\x1b[38;2;300m",
                b"text",
                b"\t",
                b"\b",
            ]
        ),
    ),
    max_size=15,
)


@given(pieces, st.integers(1, 40), st.integers(1, 10))
def test_any_bytes_cut_anywhere_fit_the_pane_and_hold_nothing_to_obey(
    data: list[bytes], width: int, height: int
) -> None:
    shown = lines(*data, width=width, height=height)
    assert shown == lines(b"".join(data), width=width, height=height)
    assert len(shown) <= height
    for line in shown:
        assert cell_len(line) <= max(width, 2)
        assert re.search("[\x00-\x1f\x7f-\x9f]", line) is None


def test_a_flood_costs_no_more_than_its_end() -> None:
    screen = Screen(lines=5, columns=100)
    screen.feed(b"x" * 10_000_000 + b"\nthe end\n")
    assert [row.plain for row in screen.rows(100, 1)] == ["the end"]


def test_a_sequence_that_never_ends_is_given_up() -> None:
    assert lines(b"\x1b]0;" + b"a" * 2000, b"b\nc")[-1] == "c"
