import logging

import pytest

from gproc.transport.log import EventLog, printable


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_event_of_a_peer_is_told_once_per_second_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = EventLog(clock=clock)
    for _ in range(5):
        log.write("refused", "too many", peer="10.0.0.1", owner="alice")
    log.write("refused", "too many", peer="10.0.0.2")
    clock.now = 1.0
    log.write("refused", "too many", peer="10.0.0.1", owner="alice")
    assert caplog.messages == ["refused: too many", "refused: too many", "refused: too many (and 4 more)"]
    record = caplog.records[-1]
    fields = [getattr(record, name) for name in ("event", "peer", "owner", "reason", "left_out")]
    assert fields == ["refused", "10.0.0.1", "alice", "too many", 4]


@pytest.mark.parametrize("peer", ["10.0.0.1:{}", "[::1]:{}"])
def test_who_connects_again_and_again_has_another_port_and_is_told_of_once(
    peer: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(clock=Clock())
    for port in range(40_000, 40_100):
        log.write("connection refused", "too many", peer=peer.format(port), owner="alice")
    log.write("connection refused", "too many", peer=peer.format(40_100), owner="bob")
    assert [record.__dict__["owner"] for record in caplog.records] == ["alice", "bob"]


def test_hosts_without_a_port_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(clock=Clock())
    for peer in ("fe80::1", "fe80::2", "10.0.0.1", ""):
        log.write("handshake failed", "x", peer=peer)
    assert len(caplog.records) == 4


def test_one_event_is_one_line_whatever_a_peer_wrote(caplog: pytest.LogCaptureFixture) -> None:
    EventLog().write("failed", "a\nb\x1b[31m\u202e", level=logging.ERROR)
    assert caplog.messages == ["failed: a\\nb\\x1b[31m\\u202e"]


def test_a_long_text_is_cut() -> None:
    assert len(printable("\n" * 10_000)) == 1000


def test_peers_are_forgotten_in_time(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog()
    for number in range(3000):
        log.write("refused", "x", peer=str(number))
    assert len(log._silent_until) <= 1024


@pytest.mark.parametrize("text", ["a" * 5000, "ä" * 5000])
def test_what_is_long_is_cut(text: str) -> None:
    assert len(printable(text)) == 1000
    assert printable(text).endswith("...")
