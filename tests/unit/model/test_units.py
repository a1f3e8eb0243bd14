from __future__ import annotations

from datetime import timedelta
from signal import Signals
from typing import Any

import pytest

from gproc.errors import InvalidArgument
from gproc.model.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_signal,
    parse_size,
    signal_name,
    span,
)


@pytest.mark.parametrize("text", ["SIGTERM", "TERM", "term", " 15 ", "sigterm", 15, Signals.SIGTERM])
def test_a_signal_is_known_by_its_names_and_its_number(text: str | int) -> None:
    assert parse_signal(text) is Signals.SIGTERM


@pytest.mark.parametrize(
    "text",
    ["", "SIG", "TERMINATE", "0", "-15", "999", "15.0", "1 5", "²", "SIG_IGN", "SIGSIGTERM", None, True, b"TERM", 15.0],
)
def test_what_is_no_signal_is_refused(text: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^stop.signal: .* say TERM, SIGTERM or 15"):
        parse_signal(text, "stop.signal")


def test_a_signal_without_a_name_has_its_number() -> None:
    assert (signal_name(9), signal_name(40)) == ("SIGKILL", "SIG40")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("250ms", 0.25),
        ("2h", 7200),
        ("1d", 86400),
        ("10", 10),
        ("0.5", 0.5),
        (" 1H ", 3600),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0.0001ms", "0.0000001"])
def test_a_duration_too_short_to_be_kept_is_the_shortest_that_is(text: str) -> None:
    assert parse_duration(text) == span(1e-7) == timedelta(microseconds=1)


def test_no_duration_stays_none() -> None:
    assert parse_duration("0s") == span(0.0) == timedelta(0)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1x", "1s 2", "1 s", "nan", "inf", "1e3", "٣s", "9" * 400, "1..5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^timeout: .* is not a duration"):
        parse_duration(text, "timeout")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0.0s"),
        (0.42, "0.4s"),
        (9.5, "9.5s"),
        (10, "10s"),
        (12.9, "12s"),
        (185, "3m05s"),
        (7620, "2h07m"),
        (356400, "4d03h"),
    ],
)
def test_a_duration_is_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64K", 65536),
        ("64kb", 65536),
        ("256MiB", 256 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        ("2 t", 2 * 1024**4),
        ("9007199254740993", 9007199254740993),
        ("9223372036854775807", 2**63 - 1),
        ("0.0001K", 0),
    ],
)
def test_a_size_is_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "K", "-1", "1e3", "1P", "1 2", "0x10", "1.", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^memory: .* is not a size"):
        parse_size(text, "memory")


@pytest.mark.parametrize("text", ["9223372036854775808", "9" * 19, "8388608T", "9" * 400])
def test_a_size_that_no_file_can_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^memory: "):
        parse_size(text, "memory")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4096, "4.0 KiB"),
        (1024**2 - 53_000, "972.2 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**2, "1.0 MiB"),
        (1536 * 1024**2, "1.5 GiB"),
        (5 * 1024**4, "5.0 TiB"),
        (4096 * 1024**4, "4096.0 TiB"),
    ],
)
def test_a_size_is_shown_for_people(count: int, text: str) -> None:
    assert format_size(count) == text
