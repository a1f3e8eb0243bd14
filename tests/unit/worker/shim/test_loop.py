from __future__ import annotations

import os
import select
import socket
import time

from gproc.worker.shim.loop import Loop


def test_a_deadline_in_a_hundred_days_is_no_hindrance() -> None:
    loop = Loop()
    reader, writer = os.pipe()
    seen: list[bytes] = []
    loop.at("far", 100 * 86400.0, lambda: seen.append(b"far"))
    loop.watch(reader, lambda _: seen.append(os.read(reader, 10)))
    os.write(writer, b"x")
    loop.turn()
    loop.forget(reader)
    os.close(reader)
    os.close(writer)
    assert seen == [b"x"]


def test_a_deadline_that_another_one_forgot_does_not_come() -> None:
    loop = Loop()
    called: list[str] = []

    def first() -> None:
        called.append("first")
        loop.cancel("second")

    loop.at("first", 0.0, first)
    loop.at("second", 0.0, lambda: called.append("second"))
    time.sleep(0.001)
    loop.turn()
    assert called == ["first"]


def test_a_deadline_that_another_one_put_off_comes_later() -> None:
    loop = Loop()
    called: list[str] = []

    def put_off() -> None:
        loop.at("second", 60.0, lambda: called.append("second"))

    loop.at("first", 0.0, put_off)
    loop.at("second", 0.0, lambda: called.append("too early"))
    time.sleep(0.001)
    loop.turn()
    assert called == []
    assert (loop.remaining("second") or 0.0) > 50


def test_a_turn_lasts_until_the_first_deadline_and_no_longer() -> None:
    loop = Loop()
    called: list[str] = []
    loop.at("later", 1.0, lambda: called.append("later"))
    loop.at("first", 0.02, lambda: called.append("first"))
    loop.turn()
    assert called == ["first"]
    assert 0.0 < (loop.remaining("later") or 0.0) < 1.0
    assert loop.remaining("first") is None


def test_of_what_is_watched_only_what_was_wanted_last_is_told_and_nothing_once_it_is_forgotten() -> None:
    loop = Loop()
    told: list[int] = []
    one, other = socket.socketpair()
    with one, other:
        other.send(b"x")
        loop.watch(one.fileno(), told.append)
        loop.watch(one.fileno(), told.append, select.EPOLLOUT)
        loop.turn()
        assert told == [select.EPOLLOUT]
        loop.forget(one.fileno())
        loop.at("now", 0.0, lambda: None)
        loop.turn()
        loop.watch(one.fileno(), told.append)
        loop.turn()
        loop.forget(one.fileno())
    assert told == [select.EPOLLOUT, select.EPOLLIN]
