from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from fractions import Fraction
from signal import Signals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.errors import InvalidArgument
from gproc.model.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_signal,
    parse_size,
    signal_name,
)

POWERS = {"": 0, "K": 1, "m": 2, "GiB": 3, "tb": 4}


@given(st.sampled_from(Signals), st.sampled_from(["number", "name", "short", "lower"]))
def test_every_signal_is_read_in_every_form(signal: Signals, form: str) -> None:
    text = {
        "number": str(int(signal)),
        "name": signal.name,
        "short": signal.name.removeprefix("SIG"),
        "lower": signal.name.lower(),
    }[form]
    assert parse_signal(text) is signal
    assert parse_signal(signal_name(signal)) is signal


@given(st.text() | st.text(alphabet="0123456789.smhdkKMGTib -+eE_"))
def test_any_text_is_read_or_refused_with_the_name_of_its_field(text: str) -> None:
    for parse in (parse_signal, parse_duration, parse_size):
        with suppress(InvalidArgument):
            value = parse(text, "field")
            assert not isinstance(value, timedelta) or value >= timedelta(0)
            assert not isinstance(value, int) or 0 <= value < 2**63
            continue
        with pytest.raises(InvalidArgument, match=r"^field: "):
            parse(text, "field")


@given(*[st.integers(0, 1000)] * 5)
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, seconds: int, ms: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=ms)
    found = parse_duration(f"{days}d{hours}h{minutes}m{seconds}s{ms}ms")
    assert abs(found - expected) <= timedelta(microseconds=1)


@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(sorted(POWERS)))
def test_a_size_is_its_number_in_units_of_powers_of_1024(whole: int, thousandths: int, unit: str) -> None:
    expected = (whole + Fraction(thousandths, 1000)) * 1024 ** POWERS[unit]
    assert parse_size(f"{whole}.{thousandths:03}{unit}") == int(expected)


@given(st.integers(0, 2**62))
def test_a_size_that_is_shown_is_read_back_within_what_is_shown_of_it(count: int) -> None:
    assert abs(parse_size(format_size(count)) - count) <= count / 20


@given(st.timedeltas(timedelta(0), timedelta(days=10**6)))
def test_a_duration_that_is_shown_is_read_back_within_its_smaller_unit(duration: timedelta) -> None:
    found = parse_duration(format_duration(duration))
    smaller = timedelta(hours=1) if duration >= timedelta(days=1) else timedelta(minutes=1)
    assert abs(found - duration) <= smaller
