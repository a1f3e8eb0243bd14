from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import pexpect  # type: ignore[import-untyped]  # it has no types
import pytest
from gproc_support.waiting import soon

from gproc.testing.faults import Line, frozen_shim, shifted_clock
from gproc.testing.threaded import ThreadedServer, threaded_server

GPROC = [sys.executable, "-m", "gproc"]
ID = re.compile(r"[0-9a-hjkmnp-tv-z]{36}")


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedServer]:
    with threaded_server() as running:
        yield running


class Cli:
    """The command line of one client."""

    def __init__(self, server: ThreadedServer, name: str, home: Path) -> None:
        files = server.files(name)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm-256color",
            "GPROC_ADDR": server.addr,
            "GPROC_CACERT": str(files.cacert),
            "GPROC_CERT": str(files.cert),
            "GPROC_KEY": str(files.key),
            **{key: value for key, value in os.environ.items() if key.startswith("COV")},
        }

    def having(self, **variables: str) -> Cli:
        other = copy(self)
        other.env = {**self.env, **variables}
        return other

    def raw(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*GPROC, *args], capture_output=True, env=self.env, timeout=30, check=False, stdin=subprocess.DEVNULL
        )

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        done = self.raw(*args)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *args: str) -> str:
        done = self("start", *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert ID.fullmatch(done.stdout.strip())
        return done.stdout.strip()

    def start_trapping(self, trap: str, *options: str) -> str:
        """Start a shell that sets *trap*, which it has done when this returns, and goes on for ever."""
        job = self.start(*options, "sh", "-c", f"trap {trap}; echo ready; while :; do sleep 0.05; done")
        with self.running("output", job) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == b"ready\n"
        return job

    def shell(self, line: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line, "sh", *GPROC, *args],
            capture_output=True,
            text=True,
            timeout=30,
            env=self.env,
            check=False,
        )

    @contextmanager
    def running(
        self, *args: str, stdin: int | IO[bytes] = subprocess.DEVNULL, stderr: int = subprocess.PIPE
    ) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([*GPROC, *args], stdout=subprocess.PIPE, stderr=stderr, stdin=stdin, env=self.env)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.communicate(timeout=10)

    def terminal(self, *args: str, rows: int = 24, columns: int = 80) -> Any:
        return pexpect.spawn(
            GPROC[0], [*GPROC[1:], *args], env=self.env, dimensions=(rows, columns), timeout=20, encoding="utf-8"
        )


@pytest.fixture
def alice(server: ThreadedServer, tmp_path: Path) -> Cli:
    return Cli(server, "alice", tmp_path)


@pytest.fixture
def bob(server: ThreadedServer, tmp_path: Path) -> Cli:
    return Cli(server, "bob", tmp_path)


def left_alone(job: str, offset: int | str) -> str:
    return (
        f"gproc: stopped listening, not the job; listen again: gproc output --offset {offset} {job}; "
        f"`gproc stop {job}` ends it"
    )


def test_start_and_listen_keeps_the_streams_apart_and_exits_with_the_code(alice: Cli) -> None:
    done = alice("start", "-l", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    first, *rest = done.stderr.splitlines()
    assert ID.fullmatch(first)
    assert rest == ["err"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 3"), 3),
        (("sh", "-c", "kill -9 $$"), 137),
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
        (("true",), 0),
    ],
)
def test_i4_run_exits_as_a_shell_would(alice: Cli, command: Sequence[str], code: int) -> None:
    done = alice("run", *command)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (1 if code in (126, 127) else 0)


def test_a_whole_line_as_one_word_is_answered_with_how_to_write_it(alice: Cli) -> None:
    for verb in ("run", "start"):
        done = alice(verb, "ls -l")
        assert (done.returncode, len(done.stderr.splitlines())) == (127, 1)
        assert "ls -l: command not found" in done.stderr
        assert "write its words apart" in done.stderr


def test_i3_after_the_command_nothing_is_parsed(alice: Cli) -> None:
    assert alice("run", "echo", "--help", "--", "-l").stdout == "--help -- -l\n"
    assert alice("run", "--", "echo", "-n", "x").stdout == "x"


def test_the_environment_and_the_directory_reach_the_job(alice: Cli) -> None:
    assert alice("run", "-e", "A=1", "-e", "B=x=y", "-C", "/", "sh", "-c", "echo $A $B $PWD").stdout == "1 x=y /\n"


def test_output_is_byte_exact_for_every_reader(alice: Cli) -> None:
    job = alice.start("sh", "-c", "head -c 3000000 /dev/urandom | tee /dev/stderr")
    assert alice("wait", job).returncode == 0
    whole = alice.raw("output", job)
    assert len(whole.stdout) == len(whole.stderr) == 3_000_000
    assert hashlib.sha256(whole.stdout).digest() == hashlib.sha256(whole.stderr).digest()
    assert alice.raw("output", "--stream", "stderr", job).stdout == b""
    again = alice.raw("output", "--offset", "5999990", job)
    assert len(again.stdout + again.stderr) == 10


@pytest.mark.parametrize("verb", [("output",), ("start", "-l", "cat")], ids=" ".join)
def test_no_byte_is_lost_by_going_on_where_a_slow_reader_is_told_to(
    alice: Cli, verb: tuple[str, ...], tmp_path: Path
) -> None:
    whole = os.urandom(3_000_000)
    (tmp_path / "whole").write_bytes(whole)
    job = alice.start("cat", str(tmp_path / "whole"))
    with alice.running(*verb, job if verb == ("output",) else str(tmp_path / "whole")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(1_000_000)
        time.sleep(0.2)  # it fills the pipe, and waits in the middle of a piece
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
    again = re.search(r"gproc output --offset \d+ \w+", errors.decode())
    assert again is not None
    assert first + rest + alice.raw(*again.group().split()[1:]).stdout == whole


def test_output_begins_where_it_is_told(alice: Cli) -> None:
    job = alice.start("sh", "-c", "for i in 1 2 3 4; do echo line $i; done")
    alice("wait", job)
    assert alice("output", "--tail", "2", job).stdout == "line 3\nline 4\n"
    assert alice("output", "--offset", "7", "--no-follow", job).stdout == "line 2\nline 3\nline 4\n"
    assert alice("output", "-f", job).stdout == "line 1\nline 2\nline 3\nline 4\n"
    assert alice("output", "--since", "1h", job).stdout.count("\n") == 4
    stamped = alice("output", "--timestamps", job).stdout.splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{15}Z line \d", line) for line in stamped)


def test_jobs_are_found_by_beginning_and_by_name_and_not_by_what_is_unclear(alice: Cli) -> None:
    one = alice.start("-n", "only-one", "true")
    assert json.loads(alice("status", "--json", one[:30]).stdout)["id"] == one
    assert json.loads(alice("status", "--json", "only-one").stdout)["id"] == one
    alice.start("true")
    assert alice("status", "0").returncode == 125


def test_jobs_that_may_have_been_meant_are_shown_with_what_tells_them_apart(alice: Cli) -> None:
    failed, good = alice.start("-n", "twins", "sh", "-c", "exit 3"), alice.start("-n", "twins", "echo", "hi")
    alice("wait", failed, good)
    unclear = alice("status", "--json", "twins")
    assert (unclear.returncode, unclear.stdout) == (125, "")
    _, *shown, told = unclear.stderr.splitlines()
    assert told == "gproc: name: 2 of your jobs have the name 'twins'; say which by its id"
    for line, (job, *words) in zip(
        shown, ((good, "exited 0", "echo hi"), (failed, "exited 3", "sh -c 'exit 3'")), strict=True
    ):
        assert line.startswith(job)
        assert all(word in line for word in words)
    for _ in range(4):
        alice("run", "-n", "twins", "true")
    _, *shown, told = alice("stop", "twins").stderr.splitlines()
    assert (len(shown), "more than 5 of your jobs" in told) == (5, True)


def test_an_unclear_beginning_of_an_id_is_answered_with_how_to_be_clear(alice: Cli) -> None:
    alice.start("true")
    beginning = alice.start("true")[:3]
    told = alice("stop", beginning).stderr.splitlines()[-1]
    assert re.fullmatch(f"gproc: id: (more than )?\\d of your jobs begin with '{beginning}'; give more of the id", told)


def test_stop_and_signal_take_the_one_job_of_a_name_that_is_not_over(alice: Cli) -> None:
    alive = alice.start("-n", "reborn", "sleep", "60")
    for _ in range(6):
        alice("run", "-n", "reborn", "true")
    assert json.loads(alice("signal", "--json", "reborn", "CONT").stdout)["id"] == alive
    assert alice("status", "reborn").returncode == 125
    assert json.loads(alice("stop", "--json", "reborn").stdout)["id"] == alive


def test_stop_shows_the_jobs_of_a_name_that_are_not_over_if_there_are_several(alice: Cli) -> None:
    alice("run", "-n", "crowd", "true")
    alive = {alice.start("-n", "crowd", "sleep", "60") for _ in range(2)}
    done = alice("stop", "crowd")
    _, *shown, told = done.stderr.splitlines()
    assert (done.returncode, {line.split()[0] for line in shown}) == (125, alive)
    assert told == "gproc: name: 2 of your jobs that are not over have the name 'crowd'; say which by its id"
    assert alice("stop", *alive).returncode == 0


def test_an_id_that_is_far_too_long_is_not_repeated_whole(alice: Cli) -> None:
    for verb in ("status", "stop", "wait"):
        told = alice(verb, "x" * 5000).stderr
        assert told == f"gproc: job {'x' * 80}…: not found; `gproc list` shows your jobs\n"


@pytest.mark.parametrize("verb", ["status", "output", "stop", "wait", "remove"])
def test_somebody_elses_job_is_not_there(alice: Cli, bob: Cli, verb: str) -> None:
    job = alice.start("true")
    alice("wait", job)
    done = bob(verb, job)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == f"gproc: job {job}: not found; `gproc list` shows your jobs\n"


def test_list_filters_and_prints_one_json_array(alice: Cli) -> None:
    job = alice.start("--label", "team=x", "-n", "listed", "true")
    alice("wait", job)
    assert [one["id"] for one in json.loads(alice("list", "--json", "--label", "team=x").stdout)] == [job]
    assert json.loads(alice("list", "--json", "--name", "listed", "--state", "lost").stdout) == []
    document = json.loads(alice("status", "--json", job).stdout)
    assert (document["state"], document["exit_code"], document["labels"]) == ("exited", 0, {"team": "x"})
    alice.start("true")
    limited = alice("list", "--limit", "1")
    assert len(limited.stdout.splitlines()) == 2
    assert "--all" in limited.stderr


def test_list_quiet_prints_nothing_but_ids_for_another_command_to_take(alice: Cli) -> None:
    jobs = [alice.start("-n", "quietly", "sleep", "60") for _ in range(2)]
    done = alice.shell('"$@" stop $("$@" list -q --running --name quietly)')
    assert (done.returncode, done.stderr) == (0, "")
    ended = alice("list", "-q", "--name", "quietly", "--limit", "1")
    assert (ended.stdout, ended.stderr) == (f"{jobs[1]}\n", "gproc: these are the newest 1; --all shows all\n")
    none = alice("list", "-q", "--running", "--name", "quietly")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "")


def test_list_failed_shows_what_ended_badly_and_neither_what_was_stopped_nor_what_runs(alice: Cli) -> None:
    label = ("--label", "of=failures")
    bad = [
        alice.start(*label, "false"),
        alice.start(*label, "sh", "-c", "kill -9 $$"),
        alice.start(*label, "--timeout", "0.05s", "sleep", "60"),
    ]
    well = [alice.start(*label, "true"), alice.start(*label, "sleep", "60")]
    alice("stop", well[1])
    alice("wait", *bad, well[0])
    alice.start(*label, "sleep", "60")
    assert alice("list", "-q", "--failed", *label).stdout.split() == bad[::-1]
    assert alice("list", "-q", "--failed", "--state", "exited", *label).stdout.split() == bad[:1]
    assert alice("list", "-q", "--failed", "--limit", "1", *label).stdout.split() == bad[2:]
    alice("stop", *label)


def test_stop_with_a_label_stops_all_jobs_that_have_it(alice: Cli) -> None:
    first, second, other = (alice.start("--label", f"batch={n}", "sleep", "60") for n in (7, 7, 8))
    stopped = json.loads(alice("stop", "--json", "--label", "batch=7").stdout)
    assert {(job["id"], job["state"]) for job in stopped} == {(first, "stopped"), (second, "stopped")}
    again = alice("stop", "--label", "batch=7")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "gproc: no running jobs match\n")
    alone = json.loads(alice("stop", "--json", "--label", "batch=8").stdout)
    assert [job["id"] for job in alone] == [other]


def test_a_terminal_that_is_said_to_have_no_columns_shows_the_list_all_the_same(alice: Cli) -> None:
    job = alice.start("true")
    shown = alice.having(COLUMNS="0").terminal("list", "--limit", "1")
    shown.expect(pexpect.EOF)
    assert job[:12] in shown.before


def test_where_no_job_matches_people_are_told_and_programs_get_an_empty_list(alice: Cli) -> None:
    shown = alice.having(NO_COLOR="1").terminal("list", "--running", "--name", "nosuch")
    shown.expect(pexpect.EOF)
    shown.close()
    assert (shown.exitstatus, shown.before) == (0, "gproc: no jobs match\r\n")
    to_programs = alice("list", "--running", "--name", "nosuch", "--json")
    assert (to_programs.returncode, to_programs.stdout, to_programs.stderr) == (0, "[]\n", "")


def test_stop_and_wait_and_remove_many(alice: Cli) -> None:
    jobs = [alice.start("sleep", "100") for _ in range(2)]
    stopped = alice("stop", "--json", *jobs)
    assert [one["state"] for one in json.loads(stopped.stdout)] == ["stopped", "stopped"]
    assert alice("wait", *jobs).returncode == 143
    removed = alice("remove", *jobs, "nosuchjob")
    assert (removed.returncode, removed.stdout.split()) == (125, jobs)
    assert removed.stderr.startswith("gproc: job nosuchjob: not found")


def test_a_failure_among_many_is_in_the_json(alice: Cli) -> None:
    job = alice.start("sleep", "100")
    for verb, state in (("stop", {"state": "stopped"}), ("remove", {"removed": True})):
        done = alice(verb, "--json", job, "nosuchjob")
        assert done.returncode == 125
        one, other = json.loads(done.stdout)
        assert one["id"] == job
        assert state.items() <= one.items()
        assert other == {"job": "nosuchjob", "error": "job nosuchjob: not found; `gproc list` shows your jobs"}


def test_a_stop_that_the_shim_did_not_hear_is_no_success(alice: Cli, server: ThreadedServer) -> None:
    job = alice.start("sleep", "100")
    with frozen_shim(server.state_dir, job):
        stop = alice.terminal("stop", "--grace", "1s", job, columns=400)
        stop.expect(pexpect.EOF)
        stop.close()
    assert stop.exitstatus == 125
    waited, problem = stop.before.splitlines()[-2:]
    assert f"waiting for job {job} to end" in waited
    assert f"job {job}: was asked to stop, and is still running (its shim does not answer); look at it" in problem
    assert alice("stop", job).returncode == 0


def test_a_wait_of_no_time_tells_what_has_ended_and_what_goes_on(alice: Cli) -> None:
    over, running = alice.start("true"), alice.start("sleep", "1000")
    alice("wait", over)
    waited = alice("wait", "--timeout", "0", "--json", over, running)
    assert waited.returncode == 125
    assert [job["id"] for job in json.loads(waited.stdout) if job.get("state") == "exited"] == [over]
    assert f"job {running}: has not ended in time" in waited.stderr
    assert over not in waited.stderr
    assert json.loads(alice("status", "--json", running).stdout)["state"] == "running"
    assert alice("wait", "--timeout", "0", over).returncode == 0
    alice("stop", running)


def test_a_wait_on_a_terminal_says_what_it_waits_for_and_that_the_job_goes_on(alice: Cli) -> None:
    jobs = [alice.start("sleep", "100") for _ in range(2)]
    wait = alice.terminal("wait", *jobs, columns=400)
    wait.expect("waiting for 2 jobs to end")
    wait.sendintr()
    wait.expect(f"what has not ended goes on; wait again: gproc wait {jobs[0]} {jobs[1]}")
    wait.expect(pexpect.EOF)
    wait.close()
    assert wait.exitstatus == 130
    assert [one["state"] for one in json.loads(alice("list", "--json", "--limit", "2").stdout)] == ["running"] * 2
    assert alice("stop", *jobs).returncode == 0


def test_one_that_fails_is_one_json_object(alice: Cli) -> None:
    for verb in ("wait", "stop", "remove"):
        done = alice(verb, "--json", "nosuchjob")
        assert done.returncode == 125
        problem = "job nosuchjob: not found; `gproc list` shows your jobs"
        assert json.loads(done.stdout) == {"job": "nosuchjob", "error": problem}
        assert done.stderr == f"gproc: {problem}\n"


def test_a_wait_for_many_prints_one_json_document_whatever_comes_of_each(alice: Cli) -> None:
    over, living = alice.start("true"), alice.start("sleep", "100")
    done = alice("wait", "--json", "--timeout", "3s", living, over, "nosuchjob")
    assert done.returncode == 125
    ended, *others = json.loads(done.stdout)
    assert (ended["id"], ended["state"]) == (over, "exited")
    assert [other["job"] for other in others] == [living, "nosuchjob"]
    assert "has not ended in time, and goes on" in others[0]["error"]
    assert "not found" in others[1]["error"]
    alone = alice("wait", "--json", "--timeout", "0.1s", living)
    assert (alone.returncode, json.loads(alone.stdout)["job"]) == (125, living)
    first = alice("wait", "--json", "--any", living, over)
    assert (first.returncode, [one["id"] for one in json.loads(first.stdout)]) == (0, [over])
    assert alice("stop", living).returncode == 0


async def test_a_wait_tells_that_it_connects_again(alice: Cli, server: ThreadedServer) -> None:
    job = await asyncio.to_thread(alice.start, "sleep", "100")
    async with Line(server.addr) as line:
        with alice.having(GPROC_ADDR=line.addr).running("wait", job) as wait:
            assert wait.stderr is not None
            told = asyncio.create_task(asyncio.to_thread(wait.stderr.readline))
            async with asyncio.timeout(20):
                while not told.done():  # whether it waits already cannot be seen from here
                    await asyncio.sleep(0.3)
                    line.cut()
            assert b"connecting again, the job goes on" in told.result()
            wait.send_signal(signal.SIGTERM)
            _, rest = await asyncio.to_thread(wait.communicate, timeout=10)
            assert wait.returncode == 143
            assert f"goes on; wait again: gproc wait {job}" in rest.decode()
    assert (await asyncio.to_thread(alice, "stop", job)).returncode == 0


def test_ctrl_c_in_a_stop_says_that_the_stop_goes_on(alice: Cli) -> None:
    job = alice.start_trapping("'' TERM")
    with alice.running("stop", "--grace", "60s", job) as process:
        soon(lambda: json.loads(alice("status", "--json", job).stdout)["state"] == "stopping")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors.decode().startswith("gproc: left; the server goes on stopping the job: ")
    assert alice("stop", "--grace", "0s", job).returncode == 0
    assert alice("wait", job).returncode == 137


def test_ctrl_c_in_a_stop_of_several_says_so_in_one_line(alice: Cli) -> None:
    label = ("--label", "kind=stubborn")
    jobs = [alice.start_trapping("'' TERM", *label) for _ in range(2)]
    with alice.running("stop", "--grace", "60s", *jobs) as process:
        soon(lambda: alice("list", "-q", "--state", "stopping", *label).stdout.split() == jobs[::-1])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    told = "gproc: left; the server goes on stopping 2 jobs: gproc list --state stopping shows them\n"
    assert (process.returncode, errors.decode()) == (130, told)
    assert alice("stop", "--grace", "0s", *label).returncode == 0


def test_a_running_job_is_signalled_and_not_removed(alice: Cli) -> None:
    job = alice.start_trapping("'exit 9' USR1")
    assert alice("remove", job).returncode == 125
    assert alice("wait", "--timeout", "0.1s", job).returncode == 125
    assert alice("signal", job, "USR1").returncode == 0
    assert alice("wait", "--timeout", "10s", job).returncode == 9
    assert alice("signal", job, "HUP").returncode == 125


def test_i4_ctrl_c_stops_listening_but_not_the_job(alice: Cli) -> None:
    with alice.running("start", "-l", "sh", "-c", "echo hi; sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hi\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    job, told = errors.decode().splitlines()
    assert told == left_alone(job, 3)
    assert json.loads(alice("status", "--json", job).stdout)["state"] == "running"
    alice("stop", job)


def test_ctrl_c_goes_to_a_job_that_runs_attached_and_the_second_stops_it(alice: Cli) -> None:
    script = "trap 'echo interrupted' INT; echo ready; while :; do sleep 0.05; done"
    with alice.running("run", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=15)
    assert process.returncode == 143
    assert errors.startswith(b"gproc: stopping the job; ")


def test_the_third_ctrl_c_leaves_a_job_that_does_not_end_to_the_server(alice: Cli) -> None:
    script = "trap 'echo interrupted' INT; trap '' TERM; echo ready; while :; do sleep 0.05; done"
    with alice.running("run", "--grace", "60s", "-n", "stubborn", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == b"gproc: stopping the job; Ctrl-C again leaves it to itself\n"
        soon(lambda: json.loads(alice("status", "--json", "stubborn").stdout)["state"] == "stopping")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    job = json.loads(alice("status", "--json", "stubborn").stdout)
    assert (process.returncode, job["state"]) == (130, "stopping")
    (told,) = errors.decode().splitlines()
    again = rf"listen again: gproc output --offset \d+ {job['id']}"
    goes_on = "the server goes on stopping the job, if it was there to hear it"
    assert re.fullmatch(f"gproc: stopped listening; {goes_on}; {again}", told)
    assert alice("stop", "--grace", "0s", job["id"]).returncode == 0


def test_i4_a_reader_that_leaves_ends_quietly(alice: Cli) -> None:
    with alice.running("start", "-l", "sh", "-c", "yes | head -c 5000000; sleep 60") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(10) == 141
        job, told = process.stderr.read().decode().splitlines()
    assert re.fullmatch(left_alone(job, r"\d+"), told)
    assert json.loads(alice("status", "--json", job).stdout)["state"] == "running"
    alice("stop", job)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("verb", [("run",), ("start", "-l")], ids=" ".join)
def test_whoever_is_told_to_end_says_what_becomes_of_the_job(
    alice: Cli, verb: tuple[str, ...], signum: signal.Signals
) -> None:
    with alice.running(*verb, "-n", f"{verb[0]}-{signum.name}", "sh", "-c", "echo hi; sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hi\n"
        process.send_signal(signum)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + signum
    job = json.loads(alice("status", "--json", f"{verb[0]}-{signum.name}").stdout)
    assert errors.decode().splitlines()[-1] == left_alone(job["id"], 3)
    assert job["state"] == "running"
    alice("stop", job["id"])


def test_a_reader_that_leaves_a_run_is_told_what_becomes_of_the_job(alice: Cli) -> None:
    with alice.running("run", "-n", "left", "sh", "-c", "yes | head -c 5000000; sleep 60") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(10) == 141
        (told,) = process.stderr.read().decode().splitlines()
    job = json.loads(alice("status", "--json", "left").stdout)
    assert re.fullmatch(left_alone(job["id"], r"\d+"), told)
    assert job["state"] == "running"
    alice("stop", job["id"])


def test_output_that_cannot_be_written_is_told_with_what_becomes_of_the_job(alice: Cli) -> None:
    for redirection in (">/dev/full", ">&-"):
        done = alice.shell(f'"$@" </dev/null {redirection}', "run", "sh", "-c", "echo hi; sleep 2")
        assert done.returncode == 125
        told, problem = done.stderr.splitlines()
        assert told.startswith("gproc: stopped listening, not the job; ")
        assert problem.startswith("gproc: standard output: ")


@pytest.mark.parametrize("verb", ["run", "start"])
def test_a_request_that_never_left_is_not_said_to_be_without_an_answer(alice: Cli, bob: Cli, verb: str) -> None:
    nobody = alice("--addr", "localhost:1", verb, "true")
    assert nobody.returncode == 125
    assert re.fullmatch("gproc: localhost:1: nobody listens there; .*\n", nobody.stderr)
    mixed = alice("--cacert", bob.env["GPROC_CERT"], verb, "true")
    assert (mixed.returncode, len(mixed.stderr.splitlines())) == (125, 1)


def test_a_start_whose_id_cannot_be_printed_says_it_to_people(alice: Cli) -> None:
    for redirection in (">/dev/full", ">&-"):
        done = alice.shell(f'"$@" </dev/null {redirection}', "start", "sleep", "100")
        told, problem = done.stderr.splitlines()
        job = ID.findall(told)[0]
        assert told.endswith(f"could not be printed: {job}; `gproc stop {job}` ends it")
        assert (done.returncode, problem.startswith("gproc: standard output: ")) == (125, True)
        assert alice("stop", job).returncode == 0


@pytest.mark.parametrize(
    ("verb", "other"), [(("run",), ("sh", "-c", "exit 9")), (("start",), ("echo", "ho")), (("start", "-l"), ("true",))]
)
def test_a_request_id_that_was_used_for_another_command_starts_and_shows_nothing(
    alice: Cli, verb: tuple[str, ...], other: tuple[str, ...]
) -> None:
    job = alice.start("--request-id", "taken", "echo", "hi")
    done = alice(*verb, "--request-id", "taken", *other)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        f"gproc: request_id: 'taken' was used before, for `echo hi` (job {job}); nothing was started; use another\n"
    )


def test_a_request_id_means_the_same_job_for_the_same_command(alice: Cli) -> None:
    line = ("--request-id", "again", "sh", "-c", "echo hi; exit 7")
    job = alice.start(*line)
    assert alice.start(*line) == job
    done = alice("run", *line)
    assert (done.returncode, done.stdout, done.stderr) == (7, "hi\n", "")


@pytest.mark.parametrize("verb", ["run", "start"])
def test_a_limit_that_does_not_hold_is_told(alice: Cli, verb: str) -> None:
    done = alice(verb, "--cpu", "0.5", "-n", f"limited-{verb}", "true")
    limits = json.loads(alice("status", "--json", f"limited-{verb}").stdout)["limits"]
    assert list(limits) == ["cpu_millis"]
    is_held = limits["cpu_millis"] == "enforced"
    assert [line.split(" does not")[0] for line in done.stderr.splitlines()] == ([] if is_held else ["gproc: --cpu"])


def test_why_a_job_ended_is_told_unless_it_ended_by_itself(alice: Cli) -> None:
    done = alice("run", "--timeout", "0.2s", "sleep", "60")
    assert done.returncode == 143
    assert done.stderr == "gproc: the job is over: timed out SIGTERM because its time of 0.2s was over\n"
    with alice.running("start", "-l", "sh", "-c", "echo hi; sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hi\n"
        assert process.stderr is not None
        alice("stop", process.stderr.readline().decode().strip())
        _, errors = process.communicate(timeout=10)
    assert errors == b"gproc: the job is over: stopped SIGTERM by alice\n"


def test_talk_does_not_stick_to_output_that_did_not_end_its_line(alice: Cli) -> None:
    script = ("sh", "-c", "printf half; exec sleep 60")
    for name, stderr in (("together", subprocess.STDOUT), ("apart", subprocess.PIPE)):
        with alice.running("run", "-n", name, *script, stderr=stderr) as process:
            assert process.stdout is not None
            assert process.stdout.read(4) == b"half"
            alice("stop", name)
            rest, errors = process.communicate(timeout=10)
        told = b"gproc: the job is over: stopped SIGTERM by alice\n"
        assert (rest, errors) == ((b"\n" + told, None) if name == "together" else (b"", told))


def test_a_terminal_is_told_which_signal_killed_the_job(alice: Cli) -> None:
    for options, hint in (((), ""), (("--memory", "1G"), "; is --memory too little for it?")):
        done = alice("run", *options, "sh", "-c", "kill -SEGV $$")
        assert (done.returncode, done.stderr) == (139, "")
        shown = alice.having(NO_COLOR="1").terminal("run", *options, "sh", "-c", "kill -SEGV $$")
        shown.expect(pexpect.EOF)
        shown.close()
        assert (shown.exitstatus, shown.before) == (139, f"gproc: the job is over: killed by SIGSEGV{hint}\r\n")


def test_input_that_would_be_lost_is_refused_before_the_job_starts(alice: Cli, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("data", encoding="utf-8")
    for feed in (f"<{tmp_path / 'in'}", "<<EOF\ndata\nEOF"):
        done = alice.shell(f'exec "$@" {feed}', "run", "-n", "never", "cat")
        assert (done.returncode, done.stdout) == (125, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("gproc: run: something waits on standard input")
    piped = alice.shell('echo hi | "$@"', "run", "-n", "never", "cat")
    assert piped.returncode == 125
    assert json.loads(alice("list", "--json", "--name", "never").stdout) == []


@pytest.mark.parametrize("line", ['"$@" </dev/null', '"$@" <&-', 'true | "$@"', '(read line; "$@") <<EOF\none\nEOF\n'])
def test_input_that_holds_nothing_is_no_obstacle(alice: Cli, line: str) -> None:
    done = alice.shell(line, "run", "echo", "fine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_an_open_and_empty_pipe_is_no_obstacle(alice: Cli) -> None:
    with alice.running("run", "echo", "fine", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"fine\n"
        assert process.wait(10) == 0


def test_i1_a_terminal_is_given_colours_and_nothing_else_to_obey(alice: Cli) -> None:
    script = r"printf '\033[31mred\033[0m \033]52;c;eA==\007 \033[2J\n'"
    safe = alice.terminal("run", "sh", "-c", script)
    safe.expect(pexpect.EOF)
    assert "\x1b[31mred\x1b[0m \\x1b]52;c;eA==\\x07 \\x1b[2J\r\n" in safe.before
    job = alice.start("sh", "-c", script)
    raw = alice.terminal("output", "--raw", job)
    raw.expect(pexpect.EOF)
    assert "\x1b]52;c;eA==\x07 \x1b[2J\r\n" in raw.before


def test_no_color_is_obeyed_on_a_terminal(alice: Cli) -> None:
    job = alice.start("true")
    alice("wait", job)
    verbs = (("list",), ("status", job), ("--help",), ("status", "nosuch"))
    for colours, variables in ((True, {}), (False, {"NO_COLOR": "1"})):
        alice.env |= variables
        for verb in verbs:
            shown = alice.terminal(*verb)
            shown.expect(pexpect.EOF)
            assert ("\x1b[" in shown.before) == colours, verb


def test_watch_shows_panes_and_sums_up(alice: Cli) -> None:
    jobs = [
        alice.start("-n", name, "sh", "-c", f"echo hello from {name}; sleep 1.5; exit 2") for name in ("red", "blue")
    ]
    watch = alice.terminal("watch", *jobs)
    watch.expect("hello from red")
    watch.expect("hello from blue")
    watch.expect("2 jobs.*2 exited 2")
    watch.expect(pexpect.EOF)
    watch.close()
    assert watch.exitstatus == 0


@pytest.mark.parametrize("poor", [{"TERM": "dumb"}, {"NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}], ids="-".join)
def test_watch_prints_lines_on_a_terminal_that_cannot_draw(alice: Cli, poor: dict[str, str]) -> None:
    job = alice.start("-n", "plain", "sh", "-c", "echo hello; sleep 0.5")
    watch = alice.having(**poor).terminal("watch", job)
    watch.expect(pexpect.EOF)
    assert "plain | hello\r\n" in watch.before
    assert "\x1b" not in watch.before


@pytest.mark.parametrize("variable", ["TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_watch_draws_on_a_terminal_whatever_the_variables_of_a_library_say(alice: Cli, variable: str) -> None:
    job = alice.start("sh", "-c", "echo hello; sleep 60")
    watch = alice.having(**{variable: "0"}).terminal("watch", job)
    watch.expect_exact("\x1b[?1049h")
    watch.expect_exact("hello  ")
    alice("stop", job)
    watch.expect(pexpect.EOF)


def test_a_watch_that_is_stopped_gives_the_terminal_back_until_it_goes_on(alice: Cli) -> None:
    job = alice.start("sleep", "60")
    watch = alice.terminal("watch", job)
    watch.expect_exact("\x1b[?1049h")
    watch.expect_exact("sleep 60")
    watch.kill(signal.SIGTSTP)
    watch.expect_exact("\x1b[?25h\x1b[?1049l")
    soon(lambda: " T " in Path(f"/proc/{watch.pid}/stat").read_text())
    watch.kill(signal.SIGCONT)
    watch.expect_exact("\x1b[?1049h")
    watch.expect_exact("sleep 60")
    watch.sendintr()
    watch.expect_exact("\x1b[?1049l")
    watch.expect(pexpect.EOF)
    alice("stop", job)


def test_watch_in_a_pipe_prints_lines_with_their_job(alice: Cli) -> None:
    job = alice.start("-n", "lines", "sh", "-c", "sleep 0.3; echo one; echo two; echo three >&2; printf four")
    done = alice("watch", job)
    assert done.returncode == 0
    assert done.stdout == "lines | one\nlines | two\nlines | four\n"
    assert "lines | three\n" in done.stderr
    assert "gproc: lines: exited 0\n" in done.stderr
    assert "1 job: 1 exited 0" in done.stderr


def test_watch_in_a_pipe_tells_once_what_was_not_kept_and_of_which_job(alice: Cli) -> None:
    script = "echo kept; for i in 1 2 3 4 5; do echo dropped; done"
    job = alice.start("-n", "verbose", "--output-limit", "5", "sh", "-c", script)
    alice("wait", job)
    done = alice("watch", job)
    assert (done.returncode, done.stdout) == (0, "verbose | kept\n")
    gaps = [line for line in done.stderr.splitlines() if "not kept" in line]
    assert gaps == ["gproc: verbose: 40 bytes not kept here: the output from offset 5 to 45"]


def test_watch_follows_more_jobs_than_it_can_at_a_time(alice: Cli) -> None:
    jobs = [alice.start("-n", f"crowd-{number}", "sh", "-c", f"echo hi {number}") for number in range(5)]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import gproc.cli.live.watching as w; w._MOST_FOLLOWED = 2; from gproc.cli.entry import main; main()",
            "watch",
            *jobs,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        env=alice.env,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert sorted(done.stdout.splitlines()) == [f"crowd-{number} | hi {number}" for number in range(5)]
    assert done.stderr.count("gproc: more than 2 jobs: ") == 1
    assert "5 jobs: 5 exited 0" in done.stderr


def test_a_reader_that_leaves_a_watch_ends_it_quietly(alice: Cli) -> None:
    job = alice.start("sh", "-c", "while :; do echo line; sleep 0.05; done")
    with alice.running("watch", job) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 141
        assert process.stderr.read() == b""
    alice("stop", job)


def test_doctor_is_content(alice: Cli) -> None:
    done = alice("doctor", "--json")
    assert done.returncode == 0
    verdicts = {check["check"]: check["verdict"] for check in json.loads(done.stdout)}
    assert list(verdicts)[-1] == "request"
    assert "bad" not in verdicts.values()


def test_doctor_finds_what_is_wrong(alice: Cli, bob: Cli, tmp_path: Path) -> None:
    nowhere = alice("--addr", "localhost:99999", "doctor")
    assert (nowhere.returncode, "99999 is not a port" in nowhere.stdout) == (125, True), nowhere.stderr
    nobody = alice("--addr", "localhost:1", "doctor")
    assert nobody.returncode == 125
    assert "✗ connection" in nobody.stdout
    assert "is the server running" in nobody.stdout
    mixed = alice("--key", bob.env["GPROC_KEY"], "doctor")
    assert mixed.returncode == 125
    assert "✗ certificate" in mixed.stdout
    loose = tmp_path / "loose.key"
    loose.write_bytes(Path(alice.env["GPROC_KEY"]).read_bytes())
    loose.chmod(0o644)
    assert f"chmod 600 {loose}" in alice("--key", str(loose), "doctor").stdout


def test_doctor_breaks_lines_between_words_on_a_narrow_terminal(alice: Cli) -> None:
    terminal = alice.having(NO_COLOR="1").terminal("doctor", columns=40)
    terminal.expect(pexpect.EOF)
    assert terminal.before.endswith("✓ request      the server accepts you,\r\n               and answers\r\n")


def test_doctor_warns_of_a_server_whose_clock_is_ahead(server: ThreadedServer, tmp_path: Path) -> None:
    carol = Cli(server, "carol", tmp_path)
    with shifted_clock(timedelta(hours=1)):  # the server's, which is in this process
        job = carol.start("true")
    done = carol("doctor", "--json")
    *_, request, clock = json.loads(done.stdout)
    assert (done.returncode, request["verdict"]) == (0, "good")
    assert (clock["check"], clock["verdict"]) == ("clock", "warning")
    assert re.fullmatch(r"the server's clock is at least 3[56]\d\d s ahead of this one", clock["detail"])
    assert carol("wait", job).returncode == 0
    assert carol("remove", job).returncode == 0


@pytest.mark.parametrize(
    "line",
    ["run true", "start true", "status ID", "list", "wait ID", "stop ID", "output ID", "signal ID HUP", "remove ID"],
)
def test_a_command_that_asks_the_server_imports_no_generated_messages(alice: Cli, line: str) -> None:
    args = line.replace("ID", alice.start("true") if "ID" in line else "").split()
    told = alice.having(PYTHONPROFILEIMPORTTIME="1")(*args).stderr
    imported = {words[-1].strip() for words in (row.split("|") for row in told.splitlines()) if len(words) == 3}
    assert "gproc.wire.requests" in imported
    for heavy in ("betterproto", "gproc.wire._generated", "google", "rich", "cryptography", "gproc.server"):
        assert not {name for name in imported if name == heavy or name.startswith(f"{heavy}.")}


def test_job_ids_are_completed(alice: Cli) -> None:
    job = alice.start("true")
    alice.env |= {"_GPROC_COMPLETE": "bash_complete", "COMP_WORDS": f"gproc status {job[:20]}", "COMP_CWORD": "2"}
    assert alice("_").stdout == f"plain,{job}\n"


def test_completion_gives_up_where_a_file_is_a_pipe_that_nobody_writes(alice: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    words = {"_GPROC_COMPLETE": "bash_complete", "COMP_WORDS": "gproc status ''", "COMP_CWORD": "2"}
    done = alice.having(GPROC_KEY=str(tmp_path / "key"), **words)("_")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("shell", "setup"),
    [
        ("bash --norc -i", 'eval "$(gproc completion bash)"'),
        ("zsh -f -i", 'autoload -U compinit; compinit -u -D; eval "$(gproc completion zsh)"'),
        ("fish --no-config -i", "gproc completion fish | source"),
    ],
    ids=("bash", "zsh", "fish"),
)
def test_a_shell_completes_a_value_behind_an_equals_sign_and_a_name_with_a_comma_and_a_colon(
    alice: Cli, shell: str, setup: str
) -> None:
    program = shell.partition(" ")[0]
    if shutil.which(program) is None:
        pytest.skip("this shell is not here")
    job = alice.start("-n", f"{program},1:a", "sleep", "60")
    there = alice.having(PATH=f"{Path(sys.executable).parent}:{alice.env['PATH']}", HISTFILE="/dev/null")
    terminal = pexpect.spawn(shell, env=there.env, dimensions=(24, 200), timeout=20, encoding="utf-8")
    try:
        terminal.sendline(f"{setup}; echo rea''dy")
        terminal.expect("ready")
        terminal.send(f"gproc stop --signal=KI\t{program},1:\t\r")
        status = json.loads(alice("wait", "--timeout", "10s", "--json", job).stdout)
        assert (status["state"], status["signal"]) == ("stopped", "SIGKILL")
    finally:
        terminal.close(force=True)


def test_names_are_completed_and_only_jobs_that_the_verb_can_do_something_with(alice: Cli) -> None:
    over, living = alice.start("-n", "novel-1", "true"), alice.start("-n", "novel-2", "sleep", "60")
    alice("wait", over)

    def completed(verb: str, begun: str) -> list[str]:
        words = {"COMP_WORDS": f"gproc {verb} {begun}", "COMP_CWORD": "2"}
        return alice.having(_GPROC_COMPLETE="bash_complete", **words)("_").stdout.split()

    assert sorted(completed("status", "nov")) == ["plain,novel-1", "plain,novel-2"]
    for verb in ("stop", "signal", "attach", "wait"):
        assert completed(verb, "nov") == ["plain,novel-2"]
        assert f"plain,{living}" in completed(verb, living[:3])
        assert f"plain,{over}" not in completed(verb, living[:3])
    assert completed("remove", "nov") == ["plain,novel-1"]
    alice("stop", living)


def test_a_demo_leaves_nothing_behind_and_exits_with_the_code(alice: Cli, tmp_path: Path) -> None:
    alice.env["TMPDIR"] = str(tmp_path)
    done = alice("demo", "sh", "-c", "echo live; exit 4")
    assert (done.returncode, done.stdout) == (4, "live\n")
    assert "exited 4" in done.stderr
    assert list(tmp_path.iterdir()) == []
