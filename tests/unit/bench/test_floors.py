from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from gproc_bench.contest import Turn
from gproc_bench.peers.fetchers import BARE_LOOP, python_pair
from gproc_bench.peers.relay import relayed
from gproc_bench.processes import memory, parent_of
from gproc_bench.session import HERE, Options, Session
from gproc_support.waiting import soon


@pytest.fixture
def bench(tmp_path: Path) -> Session:
    return Session(Options(quick=True), tmp_path, "floors")


def test_every_line_of_a_job_comes_through_keeper_and_server(bench: Session) -> None:
    command = [sys.executable, "-I", "-S", str(HERE / "drivers" / "stamps.py"), "5", "1", "32"]
    arrived, place = b"", memoryview(bytearray(65536))
    with relayed(bench, command) as connection:
        while count := connection.receive_into(place):
            arrived += place[:count]

    assert [len(line) for line in arrived.splitlines()] == [31] * 5


def test_a_bare_loop_brings_every_byte_of_a_file_that_is_no_multiple_of_its_pieces(bench: Session) -> None:
    with ExitStack() as stack:
        sample = BARE_LOOP.open(bench, stack)

        (seconds,) = sample(Turn(1_000_001, is_warm_up=True))  # raises unless the hash is right
    assert seconds > 0


def test_bare_calls_are_answered(bench: Session) -> None:
    with ExitStack() as stack:
        client = python_pair(bench, stack, "grpclib")

        assert client.ask("jobs", count=5, in_flight=2, limit=20)["seconds"] > 0


@pytest.mark.parametrize("shim", ["fork and spawn", "plain shim"])
def test_forked_shims_wait_until_they_are_released(bench: Session, shim: str) -> None:
    with ExitStack() as stack:
        parent = bench.driver(stack, "forks")
        place = bench.directory("shims")
        pids = parent.ask("hold", count=2, shim=shim, place=str(place), limit=20)["pids"]

        assert {parent_of(pid) for pid in pids} == {parent.pid}
        assert all(memory(pid, "Pss") > 0 for pid in pids)

        parent.ask("release", limit=20)
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_plain_shim_writes_down_that_its_program_runs(bench: Session) -> None:
    with ExitStack() as stack:
        parent = bench.driver(stack, "forks")
        place = bench.directory("shims")
        (pid,) = parent.ask("hold", count=1, shim="plain shim", place=str(place), limit=20)["pids"]
        stack.callback(parent.ask, "release", limit=20)

        record = place / "0" / "status.json"
        soon(record.exists)
        status = json.loads(record.read_text())["record"]
        assert (status["state"], status["shim"]["pid"], parent_of(status["pid"])) == ("running", pid, pid)
