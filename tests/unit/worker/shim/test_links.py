from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gproc.worker.protocol import encode
from gproc.worker.shim.links import Link, Links
from gproc.worker.shim.loop import Loop


class Talker:
    """Links with something to tell, and a peer at the other end of one."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.value = 0
        self.questions: list[dict[str, Any]] = []
        self.links = Links(self.loop, greeting=lambda: [{"hello": 1}], latest=self.latest, asked=self.asked)
        ours, self.peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.peer.settimeout(5)
        self.link = self.links.add(ours)
        self.link.greet()

    def latest(self, topic: str) -> dict[str, Any]:
        return {topic: self.value}

    def asked(self, link: Link, message: dict[str, Any]) -> None:
        self.questions.append(message)
        link.send({"answer": message["seq"]})

    def heard(self) -> list[dict[str, Any]]:
        """Return all that the peer was told by now, letting the link send what waits."""
        data = b""
        self.peer.setblocking(False)
        for _ in range(10_000):
            try:
                data += self.peer.recv(1 << 20)
            except BlockingIOError:
                break
            self.loop.at("now", 0, lambda: None)
            self.loop.turn()
        return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def talker() -> Iterator[Talker]:
    talker = Talker()
    yield talker
    talker.links.say_goodbye()
    talker.peer.close()
    talker.loop._epoll.close()


def test_a_new_link_is_greeted(talker: Talker) -> None:
    assert talker.heard() == [{"hello": 1}]


def test_an_announcement_says_how_things_are(talker: Talker) -> None:
    talker.value = 7
    talker.links.announce("output")
    assert talker.heard() == [{"hello": 1}, {"output": 7}]


def test_to_a_peer_that_does_not_read_only_the_latest_is_told(talker: Talker) -> None:
    talker.links.announce("x" * 20_000)
    for value in range(1, 10_001):
        talker.value = value
        talker.links.announce("output")
    assert len(talker.link._unsent) < 40_000
    heard = talker.heard()
    assert heard[-1] == {"output": 10_000}
    assert len(heard) <= 4


def test_a_question_cut_in_two_is_answered_once(talker: Talker) -> None:
    line = encode({"ask": "stop", "seq": 5})
    for part in (line[:7], line[7:]):
        talker.peer.sendall(part)
        talker.loop.turn()
    assert [question["seq"] for question in talker.questions] == [5]
    assert talker.heard()[-1] == {"answer": 5}


@pytest.mark.parametrize("garbage", [b"garbage\n", b"[]\n"])
def test_whoever_does_not_speak_the_protocol_is_hung_up_on(talker: Talker, garbage: bytes) -> None:
    talker.peer.sendall(garbage)
    talker.loop.turn()
    assert talker.peer.recv(100) == encode({"hello": 1})
    assert talker.peer.recv(100) == b""


def test_whoever_left_is_forgotten(talker: Talker) -> None:
    talker.peer.close()
    talker.loop.turn()
    talker.links.announce("output")
    assert talker.links._links == set()


def test_goodbye_leaves_open_what_is_to_be_kept(talker: Talker) -> None:
    kept, peer = socket.socketpair()
    with kept, peer:
        talker.links.add(kept).greet()
        talker.links.say_goodbye(keep=kept)
        kept.sendall(b"more")
        assert peer.recv(4096).endswith(b"more")
    assert talker.heard()
    assert talker.peer.recv(1) == b""
    assert talker.links._links == set()


def test_goodbye_says_what_was_left_to_say(talker: Talker) -> None:
    talker.links.announce("x" * 3000)
    talker.value = 1
    talker.links.announce("status")
    talker.links.say_goodbye()
    assert talker.heard()[-1] == {"status": 1}


def test_whoever_comes_in_and_cannot_be_watched_is_hung_up_on_and_the_others_stay(
    talker: Talker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "shim.sock")
    talker.links.listen(path)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "as where fs.epoll.max_user_watches is reached")

    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        with monkeypatch.context() as patched:
            patched.setattr(talker.loop, "watch", no_room)
            talker.loop.turn()
        assert peer.recv(1) == b""
    talker.links.announce("output")
    assert talker.heard()[-1] == {"output": 0}
