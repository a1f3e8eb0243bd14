from __future__ import annotations

import fcntl
import io
import json
import logging
import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.server.log import EventLog, JsonFormatter, LogfmtFormatter, escape, logging_to


def record(level: int = logging.INFO, message: str = "hello", **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "some.library", "levelno": level, "levelname": logging.getLevelName(level)})
    made.msg, made.created = message, 1_700_000_000.5
    made.__dict__.update(extra)
    return made


def fail_with(text: str) -> None:
    raise ValueError(text)


def test_an_event_is_one_line_with_its_fields() -> None:
    line = LogfmtFormatter().format(
        record(message="job_started", fields={"owner": "alice", "command": "a b", "user": None})
    )
    assert line == '2023-11-14T22:13:20.500Z info job_started owner=alice command="a b"'


def test_fields_that_a_lower_layer_attached_are_shown_the_same_way() -> None:
    line = LogfmtFormatter().format(
        record(logging.WARNING, "x: y", event="connection refused", peer="[::1]:7", owner="", left_out=0)
    )
    assert line.endswith(' warning connection_refused peer="[::1]:7" left_out=0')


def test_what_a_lower_layer_says_is_the_event_of_the_fields_that_come_with_it() -> None:
    line = LogfmtFormatter().format(record(logging.WARNING, "job not reached", job="01k", reason="mute"))
    assert line.endswith(" warning job_not_reached job=01k reason=mute")


def test_a_line_of_a_library_becomes_a_field() -> None:
    assert (
        LogfmtFormatter()
        .format(record(message="two\nlines"))
        .endswith(r' info message logger=some.library text="two\nlines"')
    )


def test_a_traceback_becomes_one_field() -> None:
    with pytest.raises(ValueError, match="thing") as caught:
        fail_with("bad\nthing")

    line = LogfmtFormatter().format(record(exc_info=(caught.type, caught.value, caught.tb)))
    assert "\n" not in line
    assert r'error="ValueError: bad\nthing at test_log.py:' in line


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ä €", "plain ä €"),
        ("a\r\nb", r"a\r\nb"),
        ("\x1b]52;c;x\x07", r"\x1b]52;c;x\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil", r"\u202eevil"),
        ("\u2028", r"\u2028"),
        (r"\n", r"\\n"),
        ("\ud800", r"\ud800"),
    ],
)
def test_i2_what_is_not_printable_is_escaped_and_cannot_be_mistaken(raw: str, shown: str) -> None:
    assert escape(raw) == shown


def test_long_values_are_cut() -> None:
    assert escape("x" * 1000) == "x" * 200 + "…"


@given(st.text(alphabet=st.characters(), max_size=300))
def test_i2_no_value_can_break_the_line_or_leave_its_quotes(value: str) -> None:
    line = LogfmtFormatter().format(record(fields={"command": value, "last": 1}))
    assert line.isprintable()
    assert line.endswith(" last=1")
    assert line.replace("\\\\", "").replace('\\"', "").count('"') in (0, 2)


@given(st.dictionaries(st.sampled_from(["owner", "job", "reason"]), st.text(max_size=50) | st.integers() | st.none()))
def test_json_lines_are_json(fields: dict[str, object]) -> None:
    line = JsonFormatter().format(record(message="job_started", fields=fields))
    document = json.loads(line)
    assert "\n" not in line
    assert document["event"] == "job_started"
    assert document.keys() - {"time", "level", "event"} == {
        key for key, value in fields.items() if value not in (None, "")
    }


def test_in_json_numbers_stay_numbers_and_texts_are_cut_and_escaped_as_in_lines() -> None:
    numbers = {"exit_code": 0, "rate": 0.5, "tls": True}
    line = JsonFormatter().format(record(fields={**numbers, "command": "\x1b" + "x" * 1000}))
    document = json.loads(line)
    assert {name: document[name] for name in numbers} == numbers
    assert document["command"] == r"\x1b" + "x" * 199 + "…"


def test_logging_goes_to_the_stream_only_inside_the_block(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    caplog.set_level(logging.CRITICAL, "gproc")
    stream, log = io.StringIO(), EventLog(logging.getLogger("gproc.server"))
    with logging_to(stream):
        log.info("server_started", addr="localhost:1")
        log.warning("odd")
        log.error("bad")
        logging.getLogger("other").info("not worth a line")
        logging.getLogger("other").warning("worth one")
    log.error("outside")

    assert [line.split()[1:3] for line in stream.getvalue().splitlines()] == [
        ["info", "server_started"],
        ["warning", "odd"],
        ["error", "bad"],
        ["warning", "message"],
    ]
    assert [logging.getLogger(name).level for name in ("root", "gproc")] == [logging.ERROR, logging.CRITICAL]


def test_a_pipe_that_nobody_reads_holds_up_nobody_and_is_told_later_how_much_it_missed() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 2 * mmap.PAGESIZE)
    log = EventLog(logging.getLogger("gproc.server"))
    with os.fdopen(reader) as theirs, os.fdopen(writer, "w") as ours, logging_to(ours):
        for _ in range(1000):
            log.info("job_started", command="x" * 100)
        os.set_blocking(reader, False)
        before = theirs.read().splitlines()
        log.info("job_ended")
        log.info("server_stopped")
        after = theirs.read().splitlines()

    missed = 1000 - len(before)
    assert [line.split(" ", 2)[2] for line in after] == [
        f"log_lines_dropped count={missed}",
        "job_ended",
        "server_stopped",
    ]
    assert {line.split()[2] for line in before} == {"job_started"}


def test_a_stream_that_nobody_reads_any_more_hurts_nobody() -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    with logging_to(Broken()):
        EventLog(logging.getLogger("gproc.server")).error("bad")
