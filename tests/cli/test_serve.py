from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

GPROC = [sys.executable, "-m", "gproc"]
RUN_AS = ["--run-as", "root"] if os.geteuid() == 0 else []


def gproc(*args: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GPROC_")}
    return subprocess.run(
        [*GPROC, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**clean, "XDG_CONFIG_HOME": str(cwd / "xdg"), **env},
        timeout=30,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority made by the command line, with a server, alice and bob."""
    home = tmp_path_factory.mktemp("home")
    for args in (
        ("certs", "init", "pki"),
        ("certs", "server", "pki", "--host", "localhost", "127.0.0.1"),
        ("certs", "client", "pki", "alice"),
        ("certs", "client", "pki", "bob"),
    ):
        done = gproc(*args, cwd=home)
        assert done.returncode == 0, done.stderr
    return home


@contextmanager
def serving(home: Path, *options: str, addr: str = "localhost:0") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process of its own; gives it and its address once it says that it is ready."""
    files = ["--cacert", "pki/ca.crt", "--cert", "pki/server.crt", "--key", "pki/server.key"]
    process = subprocess.Popen(
        [*GPROC, "--addr", addr, *files, "serve", "--state-dir", "state", *RUN_AS, *options],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=home,
    )
    assert process.stderr is not None
    try:
        ready = next((line for line in process.stderr if line.startswith("listening on ")), "")
        found = re.fullmatch(r"listening on (localhost:\d+)\n", ready)
        assert found is not None
        yield process, found[1]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def as_alice(addr: str) -> list[str]:
    return ["--addr", addr, "--cacert", "pki/ca.crt", "--cert", "pki/alice.crt", "--key", "pki/alice.key"]


def client(home: Path, addr: str, name: str, *args: str) -> subprocess.CompletedProcess[str]:
    files = {"CACERT": "ca.crt", "CERT": f"{name}.crt", "KEY": f"{name}.key"}
    return gproc(*args, cwd=home, GPROC_ADDR=addr, **{f"GPROC_{key}": f"pki/{file}" for key, file in files.items()})


def test_from_no_certificates_to_a_job_that_only_its_owner_sees(pki: Path) -> None:
    with serving(pki) as (process, addr):
        done = client(pki, addr, "alice", "start", "-l", "sh", "-c", "echo out; echo err >&2; exit 7")
        job, err = done.stderr.splitlines()
        assert (done.returncode, done.stdout, err) == (7, "out\n", "err")
        for verb in ("status", "output", "stop", "remove"):
            hidden = client(pki, addr, "bob", verb, job)
            assert (hidden.returncode, hidden.stdout) == (125, "")
            assert "not found" in hidden.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_doctor_gives_who_was_revoked_one_piece_of_advice(pki: Path) -> None:
    for args in (("client", "pki", "carol"), ("revoke", "pki", "carol")):
        assert gproc("certs", *args, cwd=pki).returncode == 0
    with serving(pki, "--crl", "pki/crl.pem") as (_, addr):
        last = json.loads(client(pki, addr, "carol", "doctor", "--json").stdout)[-1]
    assert (last["check"], last["verdict"]) == ("identity", "bad")
    assert last["detail"] == f"{addr}: the server refused this certificate (certificate revoked)"
    assert last["advice"] == "ask who runs the server for a new certificate"


def test_a_context_is_all_one_needs(pki: Path) -> None:
    with serving(pki) as (_, addr):
        files = ("--cacert", "pki/ca.crt", "--cert", "pki/alice.crt", "--key", "pki/alice.key")
        assert gproc("context", "add", "here", "--addr", addr, *files, cwd=pki).returncode == 0
        done = gproc("run", "echo", "hello", cwd=pki)
        assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
        gproc("context", "remove", "here", cwd=pki)


def test_watch_tells_when_the_server_is_away_and_when_it_is_back(pki: Path) -> None:
    with serving(pki) as (_, addr):
        job = client(pki, addr, "alice", "start", "-n", "lasting", "sh", "-c", "echo one; sleep 60").stdout.strip()
        watch = subprocess.Popen(
            [*GPROC, *as_alice(addr), "watch", job], cwd=pki, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert watch.stdout is not None
        assert watch.stderr is not None
        assert watch.stdout.readline() == "lasting | one\n"
    try:
        assert watch.stderr.readline().endswith("; connecting again, no output is lost\n")
        with serving(pki, addr=addr) as (_, again):
            assert again == addr
            assert watch.stderr.readline() == "gproc: connected again\n"
            client(pki, addr, "alice", "stop", job)
            assert watch.wait(20) == 0
    finally:
        watch.kill()
        watch.communicate()


def test_a_server_that_is_lost_for_good_is_told_with_what_becomes_of_the_job(pki: Path) -> None:
    impatient = (
        "import functools, gproc.client.client as c; c.Patience = functools.partial(c.Patience, total=0.5)\n"
        "from gproc.cli.entry import main; main()"
    )
    with serving(pki) as (_, addr):
        run = subprocess.Popen(
            [sys.executable, "-c", impatient, *as_alice(addr), "run", "-n", "orphan", "sh", "-c", "echo hi; sleep 60"],
            cwd=pki,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        assert run.stdout.readline() == "hi\n"
    try:
        _, errors = run.communicate(timeout=20)
        assert run.returncode == 125
        away, left, lost = errors.splitlines()
        assert away.endswith("; connecting again, no output is lost")
        assert left.startswith("gproc: stopped listening, not the job; listen again: gproc output --offset 3 ")
        assert lost.startswith(f"gproc: {addr}")
    finally:
        run.kill()
        run.communicate()
    with serving(pki) as (_, addr):
        assert client(pki, addr, "alice", "stop", "orphan").returncode == 0


def test_the_configuration_holds(pki: Path) -> None:
    (pki / "server.toml").write_text(
        '[[policy]]\nowner = "alice"\ndeny = ["sh"]\n[output]\nmax_bytes = 1000\n', encoding="utf-8"
    )
    with serving(pki, "--config", "server.toml") as (_, addr):
        denied = client(pki, addr, "alice", "run", "sh", "-c", "true")
        assert denied.returncode == 125
        assert denied.stderr.startswith("gproc: ")
        cut = client(pki, addr, "bob", "run", "sh", "-c", "head -c 5000 /dev/zero")
        assert (cut.returncode, len(cut.stdout)) == (0, 1000)
        assert cut.stderr == "gproc: 4000 bytes not kept here: the output from offset 1000 to 5000\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[quotas]\njobs = 1\n", "server.toml: quotas.jobs: there is no such key"), ("what", "server.toml: is not TOML")],
)
def test_a_wrong_configuration_stops_the_server_before_it_starts(pki: Path, text: str, problem: str) -> None:
    (pki / "server.toml").write_text(text, encoding="utf-8")
    files = ("--cacert", "pki/ca.crt", "--cert", "pki/server.crt", "--key", "pki/server.key")
    done = gproc("--addr", "localhost:0", *files, "serve", "--state-dir", "s2", "--config", "server.toml", cwd=pki)
    assert (done.returncode, done.stdout) == (125, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gproc: {problem}")


def test_certificates_are_listed_and_revoked_and_a_name_is_issued_once(tmp_path: Path) -> None:
    made = gproc("certs", "init", "pki", cwd=tmp_path)
    assert made.stdout.split() == ["pki/ca.crt", "pki/ca.key", "pki/crl.pem"]
    assert gproc("certs", "client", "pki", "carol", cwd=tmp_path).stdout.split() == ["pki/carol.crt", "pki/carol.key"]
    again = gproc("certs", "client", "pki", "carol", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (125, "")
    assert len(again.stderr.splitlines()) == 1
    assert gproc("certs", "client", "pki", "carol", "--renew", cwd=tmp_path).returncode == 0
    assert gproc("certs", "revoke", "pki", "carol", cwd=tmp_path).stdout == "pki/crl.pem\n"
    states = {line.split()[2] for line in gproc("certs", "list", "pki", cwd=tmp_path).stdout.splitlines()[1:]}
    assert states == {"valid", "revoked"}


def test_a_server_whose_log_has_no_room_serves_all_the_same(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    files = ["--cacert", "pki/ca.crt", "--cert", "pki/server.crt", "--key", "pki/server.key"]
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [*GPROC, "--addr", f"127.0.0.1:{port}", *files, "serve", "--state-dir", "full", *RUN_AS],
            stderr=full,
            stdin=subprocess.DEVNULL,
            cwd=pki,
        )
    try:
        client = ["--cacert", "pki/ca.crt", "--cert", "pki/alice.crt", "--key", "pki/alice.key"]
        deadline = time.monotonic() + 20
        while gproc("--addr", f"127.0.0.1:{port}", *client, "list", cwd=pki).returncode:
            assert process.poll() is None
            assert time.monotonic() < deadline
    finally:
        process.terminate()
        assert process.wait(10) == 0
