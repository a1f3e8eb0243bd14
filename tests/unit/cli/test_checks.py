from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread, current_thread, main_thread

import pytest

from gproc.cli.main import run
from gproc.testing.authority import Authority, Files

Behaviour = Callable[[socket.socket], None]
GOOD_AND_KNOWN = ["addr", "cacert", "cert", "key", "certificate", "name"]


class Doctor:
    """``gproc doctor --json`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], files: Files) -> None:
        self._capsys = capsys
        self.files = files

    def __call__(self, addr: str, *flags: str) -> list[dict[str, str]]:
        """Return what it looked at, as the client of the files, in order; it exits with 125 if anything is bad."""
        files = self.files
        known = ("--addr", addr, "--cacert", str(files.cacert), "--cert", str(files.cert), "--key", str(files.key))
        return self.bare(*known, *flags)

    def bare(self, *flags: str) -> list[dict[str, str]]:
        """Return what it looked at with nothing but *flags*."""
        code = run((*flags, "doctor", "--json"))
        told = self._capsys.readouterr()
        checks: list[dict[str, str]] = json.loads(told.out)
        assert told.err == ""
        assert code == (125 if any(check["verdict"] == "bad" for check in checks) else 0)
        return checks


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def doctor(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    for name in [name for name in os.environ if name.startswith(("GPROC_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Doctor(capsys, authority.client("alice"))


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    directory = tmp_path / "stranger"
    directory.mkdir()
    return Authority(directory)


@contextmanager
def peer(behave: Behaviour) -> Iterator[str]:
    """Give the address of somebody who does this with each connection, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=_serve, args=(listening, behave))
        thread.start()
        try:
            yield f"localhost:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, behave: Behaviour) -> None:
    with suppress(OSError):  # shut down
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                behave(connection)


def only_listens(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def greets_in_plain_text(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example.com ready\r\n")
    only_listens(connection)


def hangs_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def speaks_tls(
    files: Files, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, clients_of: Path | None = None, alpn: str = "h2"
) -> Behaviour:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    context.maximum_version = newest
    context.set_alpn_protocols([alpn])
    if clients_of is not None:
        context.load_verify_locations(clients_of)
        context.verify_mode = ssl.CERT_REQUIRED

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            only_listens(secure)

    return behave


def test_a_server_that_falls_silent_after_its_handshake_is_told(
    doctor: Doctor, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.cli.checks._PATIENCE", 0.5)
    behaviours = iter([speaks_tls(authority.server())])
    with peer(lambda connection: next(behaviours, only_listens)(connection)) as addr:  # noqa: PLW0108 (one after the other)
        last = doctor(addr)[-1]
    assert (last["check"], last["verdict"]) == ("request", "bad")
    assert last["detail"] == f"{addr}: no connection within 0.5 s"
    assert last["advice"] == "check --addr and the network"


def test_a_name_is_looked_up_where_ctrl_c_need_not_wait_for_it(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def look_up(*_args: object, **_named: object) -> None:
        threads.append(current_thread())
        raise socket.gaierror(socket.EAI_AGAIN, "not now")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert doctor("host.example:1")[-1]["detail"] == "host.example: not now"
    assert main_thread() not in threads


def test_settings_that_are_missing_are_all_named_with_the_ways_to_give_them(doctor: Doctor) -> None:
    checks = doctor.bare()
    assert [check["check"] for check in checks] == ["addr", "cacert", "cert", "key"]
    for check in checks:
        name = check["check"]
        assert check["verdict"] == "bad"
        assert check["detail"].startswith(f"setting {name!r} is missing")
        assert f"--{name}" in check["advice"]
        assert f"GPROC_{name.upper()}" in check["advice"]


def test_a_context_that_is_not_there_is_all_there_is_to_say(doctor: Doctor) -> None:
    (check,) = doctor.bare("--context", "nosuch")
    assert (check["check"], check["verdict"]) == ("settings", "bad")
    assert "context 'nosuch' (--context): not in" in check["detail"]


def test_a_configuration_that_cannot_be_understood_is_named(doctor: Doctor, tmp_path: Path) -> None:
    file = tmp_path / ".config" / "gproc" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("current = [", encoding="utf-8")
    (check,) = doctor.bare()
    assert check["check"] == "settings"
    assert str(file) in check["detail"]
    assert "correct the file" in check["advice"]


def test_each_file_that_cannot_be_read_is_named(doctor: Doctor, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.key")
    last = doctor("localhost:1", "--key", gone)[-1]
    assert last == {
        "check": "key file",
        "verdict": "bad",
        "detail": f"{gone}: No such file or directory",
        "advice": "give another file with --key",
    }


def test_a_certificate_that_is_none_is_told_before_anybody_is_asked(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "empty.crt").touch()
    last = doctor("localhost:1", "--cert", str(tmp_path / "empty.crt"))[-1]
    assert (last["check"], last["verdict"]) == ("certificate", "bad")


@pytest.mark.parametrize("option", ["--cert", "--cacert"])
def test_a_key_given_as_a_certificate_is_told_once_with_the_file_to_give(doctor: Doctor, option: str) -> None:
    key = str(doctor.files.key)
    (bad,) = (check for check in doctor("localhost:1", option, key) if check["verdict"] == "bad")
    assert bad == {
        "check": "certificate",
        "verdict": "bad",
        "detail": f"{key}: not a certificate in PEM form",
        "advice": "give the file that ends in .crt",
    }


def test_whoever_has_a_certificate_that_names_nobody_needs_a_new_one_and_no_other_clock(
    doctor: Doctor, authority: Authority
) -> None:
    doctor.files = authority.server()
    last = doctor("localhost:1")[-1]
    assert "has 0 common names" in last["detail"]
    assert last["advice"] == "issue a new one: gproc certs client DIR NAME"


def test_a_certificate_that_ends_soon_is_a_warning_and_one_that_does_not_is_good(
    doctor: Doctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {check["check"]: check["verdict"] for check in doctor("localhost:1")}["certificate"] == "warning"
    pki = tmp_path / "pki"
    for args in (("init", str(pki)), ("client", str(pki), "carol")):
        assert run(("certs", *args)) == 0
    capsys.readouterr()
    doctor.files = Files(pki / "ca.crt", pki / "carol.crt", pki / "carol.key")
    (check,) = [check for check in doctor("localhost:1") if check["check"] == "certificate"]
    assert check["verdict"] == "good"
    assert check["detail"].startswith("you are 'carol'; ")


@pytest.mark.parametrize("addr", ["nonsense", "localhost:99999", "::1"])
def test_an_address_that_is_none_is_told_with_what_it_should_be(doctor: Doctor, addr: str) -> None:
    last = doctor(addr)[-1]
    assert (last["check"], last["verdict"]) == ("address", "bad")
    assert last["detail"].startswith(f"address {addr!r}: ")


def test_a_name_that_means_no_address_is_told_with_the_systems_reason(doctor: Doctor) -> None:
    last = doctor("[fe80::1%nosuch]:3000")[-1]  # no such interface: nobody has to be asked to know that
    assert last == {
        "check": "name",
        "verdict": "bad",
        "detail": "fe80::1%nosuch: Name or service not known",
        "advice": "is the name right? does this network's DNS know it?",
    }


@pytest.mark.parametrize("host", ["two..dots", f"{'x' * 64}.example.com"])
def test_a_name_that_no_host_can_have_is_no_fault_of_gproc(doctor: Doctor, host: str) -> None:
    last = doctor(f"{host}:3000")[-1]
    assert last["verdict"] == "bad"
    assert host in last["detail"]


def test_a_port_at_which_nobody_listens_is_told_as_that(doctor: Doctor) -> None:
    *before, last = doctor("localhost:1")
    assert [check["check"] for check in before] == GOOD_AND_KNOWN
    assert (last["check"], last["detail"]) == ("connection", "localhost:1: Connection refused")
    assert last["advice"].startswith("nothing listens there: ")


@pytest.mark.parametrize("addresses", [("255.255.255.255", "127.0.0.1"), ("127.0.0.1", "255.255.255.255")])
def test_that_nobody_listens_says_more_than_that_another_address_of_the_host_cannot_be_reached(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, str]
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 1)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
    *_, name, last = doctor("twofold.example.com:1")
    assert name["detail"] == "twofold.example.com is 127.0.0.1, 255.255.255.255"
    assert last["detail"] == "twofold.example.com:1: Connection refused"
    assert last["advice"].startswith("nothing listens there: ")


def test_a_host_that_cannot_be_reached_may_be_behind_a_firewall(doctor: Doctor) -> None:
    last = doctor("255.255.255.255:1")[-1]
    assert (last["check"], last["verdict"]) == ("connection", "bad")
    assert last["advice"].startswith("is a firewall in between?")


@pytest.mark.parametrize("behave", [greets_in_plain_text, hangs_up])
def test_a_peer_without_tls_is_told_as_that(doctor: Doctor, behave: Behaviour) -> None:
    with peer(behave) as addr:
        last = doctor(addr)[-1]
    assert (last["check"], last["verdict"]) == ("TLS", "bad")
    assert last["detail"].startswith("no handshake: ")
    assert "_ssl.c" not in last["detail"]
    assert last["advice"] == "is it a gproc server that listens there?"


def test_a_peer_that_knows_no_newer_tls_than_1_2_is_told_as_that(doctor: Doctor, authority: Authority) -> None:
    with peer(speaks_tls(authority.server(), newest=ssl.TLSVersion.TLSv1_2)) as addr:
        last = doctor(addr)[-1]
    assert last["detail"] == "no handshake: what answers does not speak TLS 1.3"


def test_a_peer_that_never_answers_is_given_up_and_told_in_words(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.cli.checks._PATIENCE", 0.2)
    with peer(only_listens) as addr:
        last = doctor(addr)[-1]
    assert last["detail"] == "no handshake: what listens there says nothing for 0.2 s"


def test_a_server_of_another_authority_is_not_believed(doctor: Doctor, stranger: Authority) -> None:
    with peer(speaks_tls(stranger.server())) as addr:
        last = doctor(addr)[-1]
    assert (last["check"], last["verdict"]) == ("TLS", "bad")
    assert last["detail"].startswith("the server's certificate: ")
    assert last["advice"] == "is --cacert the authority that issued the server's certificate?"


def test_a_server_of_another_name_is_not_believed_and_how_to_name_it_is_said(
    doctor: Doctor, authority: Authority
) -> None:
    with peer(speaks_tls(authority.server("other.example.com"))) as addr:
        last = doctor(addr)[-1]
    assert last["check"] == "TLS"
    assert "--host localhost" in last["advice"]


def test_a_server_that_refuses_the_client_is_told_as_a_matter_of_who_one_is(
    doctor: Doctor, authority: Authority, stranger: Authority
) -> None:
    with peer(speaks_tls(authority.server(), clients_of=stranger.cacert)) as addr:
        *_, before, last = doctor(addr)
    assert (before["check"], before["verdict"]) == ("TLS", "good")
    assert (last["check"], last["verdict"]) == ("identity", "bad")
    assert "refused this certificate" in last["detail"]
    assert "; " not in last["detail"]  # the client's own advice, for whoever has no doctor
    assert "the server trusts another authority" in last["advice"]


def test_a_server_that_is_none_of_ours_fails_at_the_request(doctor: Doctor, authority: Authority) -> None:
    with peer(speaks_tls(authority.server(), alpn="http/1.1")) as addr:
        *_, before, last = doctor(addr)
    assert (before["check"], before["verdict"]) == ("TLS", "good")
    assert (last["check"], last["verdict"]) == ("request", "bad")
    assert "speaks TLS, but not HTTP/2" in last["detail"]
