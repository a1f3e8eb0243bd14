from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gproc.certs import Authority, CertificateKind, CertificateState, inspect
from gproc.errors import CertificateError

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "pki")


def revocation_list(authority: Authority) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((authority.directory / "crl.pem").read_bytes())


def list_number(authority: Authority) -> int:
    return revocation_list(authority).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def states(authority: Authority, name: str) -> list[CertificateState]:
    return [issued.state for issued in authority.list() if issued.name == name]


def test_a_new_authority_has_a_certificate_a_key_a_revocation_list_and_a_register(authority: Authority) -> None:
    assert sorted(path.name for path in authority.directory.iterdir()) == ["ca.crt", "ca.key", "crl.pem", "issued.json"]


def test_its_directory_is_for_its_owner_only(authority: Authority) -> None:
    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700


def test_a_second_authority_in_the_same_directory_is_refused_and_changes_nothing(authority: Authority) -> None:
    before = (authority.directory / "ca.crt").read_bytes()
    with pytest.raises(CertificateError, match=r"already.*--renew"):
        Authority.create(authority.directory)
    assert (authority.directory / "ca.crt").read_bytes() == before


@pytest.mark.parametrize("left_over", ["ca.key", "issued.json", "crl.pem"])
def test_an_authority_that_lost_its_certificate_is_not_replaced(tmp_path: Path, left_over: str) -> None:
    (tmp_path / left_over).write_text("precious")
    with pytest.raises(CertificateError, match=f"{left_over}.*restore"):
        Authority.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [left_over]


@pytest.mark.parametrize("full_at", ["crl.pem", "ca.key", "ca.crt"])
def test_an_authority_that_found_no_room_leaves_nothing_in_the_way_of_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    def refuse(descriptor: int) -> None:
        if f".{full_at}." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse)
        with pytest.raises(CertificateError, match=f"{full_at}: cannot be written: No space left"):
            Authority.create(tmp_path)
    assert list(tmp_path.iterdir()) == []
    Authority.create(tmp_path)


def test_a_directory_without_an_authority_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=rf"no authority here; `gproc certs init {tmp_path}`"):
        Authority.open(tmp_path)


def test_an_authority_cannot_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateError, match="cannot be made"):
        Authority.create(tmp_path / "file" / "pki")


def test_keys_are_private_from_birth_and_certificates_are_for_everybody(authority: Authority) -> None:
    old = os.umask(0)
    try:
        authority.issue_server(["localhost"])
        authority.issue_client("alice")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in authority.directory.iterdir()}
    assert {name for name, mode in modes.items() if name.endswith(".key") and mode == 0o600} == {
        "ca.key",
        "server.key",
        "alice.key",
    }
    assert modes["server.crt"] == modes["alice.crt"] == 0o644


def test_a_name_is_issued_once(authority: Authority) -> None:
    issued = authority.issue_client("alice")
    before = issued.cert.read_bytes(), issued.key.read_bytes()
    with pytest.raises(CertificateError, match=r"alice\.crt: issued already; use --renew"):
        authority.issue_client("alice")
    assert (issued.cert.read_bytes(), issued.key.read_bytes()) == before


def test_a_name_is_issued_once_though_its_files_were_moved_to_another_machine(authority: Authority) -> None:
    issued = authority.issue_client("alice")
    issued.cert.unlink()
    issued.key.unlink()
    with pytest.raises(CertificateError, match="--renew"):
        authority.issue_client("alice")


def test_a_file_that_was_never_issued_is_not_written_over(authority: Authority) -> None:
    (authority.directory / "alice.key").write_text("precious")
    with pytest.raises(CertificateError, match="--renew"):
        authority.issue_client("alice")
    assert (authority.directory / "alice.key").read_text() == "precious"
    assert not (authority.directory / "alice.crt").exists()
    assert [each.name for each in authority.list()] == ["ca"]


def test_renewing_replaces_certificate_and_key(authority: Authority) -> None:
    old = authority.issue_client("alice")
    old_key = old.key.read_bytes()
    new = authority.issue_client("alice", renew=True)
    assert inspect(new.cert).serial == new.serial != old.serial
    assert new.key.read_bytes() != old_key
    assert stat.S_IMODE(new.key.stat().st_mode) == 0o600
    assert states(authority, "alice") == [CertificateState.VALID, CertificateState.REPLACED]


def test_renewing_a_name_that_was_never_issued_issues_it(authority: Authority) -> None:
    authority.issue_client("alice", renew=True)
    assert states(authority, "alice") == [CertificateState.VALID]


def test_no_temporary_file_stays_behind(authority: Authority) -> None:
    authority.issue_client("alice")
    authority.issue_client("alice", renew=True)
    authority.revoke("alice")
    assert not [path.name for path in authority.directory.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["ca", "server", "crl", "CA", "Server"])
def test_a_client_cannot_have_the_name_of_the_authoritys_own_files(authority: Authority, name: str) -> None:
    with pytest.raises(CertificateError, match="give the client another"):
        authority.issue_client(name)


@pytest.mark.parametrize("name", ["", "../alice", "a/b", "-rf", ".hidden", "alice bob", "alice\n", "ålice", "a" * 65])
def test_a_client_name_that_no_server_would_accept_is_refused(authority: Authority, name: str) -> None:
    with pytest.raises(CertificateError, match="not acceptable"):
        authority.issue_client(name)
    assert len(list(authority.directory.iterdir())) == 4


def test_a_server_certificate_needs_a_host(authority: Authority) -> None:
    with pytest.raises(CertificateError, match="needs a host"):
        authority.issue_server([])


def test_a_server_certificate_names_each_host_once(authority: Authority) -> None:
    issued = authority.issue_server(["localhost", "127.0.0.1", "LOCALHOST", "::1"])
    assert issued.hosts == inspect(issued.cert).hosts == ("localhost", "127.0.0.1", "::1")


def test_revoking_takes_back_every_certificate_of_the_name_and_of_no_other(authority: Authority) -> None:
    first, other = authority.issue_client("alice"), authority.issue_client("bob")
    second = authority.issue_client("alice", renew=True)
    revoked = authority.revoke("alice")
    assert [issued.serial for issued in revoked] == [second.serial, first.serial]
    assert {format(entry.serial_number, "x") for entry in revocation_list(authority)} == {first.serial, second.serial}
    assert states(authority, "alice") == [CertificateState.REVOKED, CertificateState.REVOKED]
    assert states(authority, "bob") == [CertificateState.VALID]
    assert other.revoked_at is None


def test_a_revoked_name_can_be_issued_again_and_the_old_certificate_stays_revoked(authority: Authority) -> None:
    authority.issue_client("alice")
    authority.revoke("alice")
    authority.issue_client("alice", renew=True)
    assert states(authority, "alice") == [CertificateState.VALID, CertificateState.REVOKED]


def test_revoking_a_name_that_was_never_issued_is_an_error_and_not_a_silence(authority: Authority) -> None:
    with pytest.raises(CertificateError, match="mallory: was never issued"):
        authority.revoke("mallory")


def test_revoking_twice_keeps_the_first_time(authority: Authority) -> None:
    authority.issue_client("alice")
    (first,) = authority.revoke("alice")
    (second,) = authority.revoke("alice", now=datetime.now(UTC) + timedelta(hours=1))
    assert second.revoked_at == first.revoked_at


def test_every_revocation_list_has_a_higher_number_and_a_later_time(authority: Authority) -> None:
    authority.issue_client("alice")
    now = datetime.now(UTC)
    lists = [(list_number(authority), revocation_list(authority).last_update_utc)]
    for _ in range(3):
        authority.revoke("alice", now=now)
        lists.append((list_number(authority), revocation_list(authority).last_update_utc))
    assert [number for number, _ in lists] == [1, 2, 3, 4]
    assert all(later > earlier for (_, earlier), (_, later) in pairwise(lists))


@pytest.mark.parametrize(
    "heal", [lambda a: a.revoke("alice"), lambda a: a.issue_client("bob")], ids=("revoke", "issue")
)
def test_a_list_that_was_made_with_a_clock_ahead_is_replaced_by_one_that_is_good_now(
    authority: Authority, heal: Callable[[Authority], object]
) -> None:
    authority.issue_client("alice")
    authority.revoke("alice", now=datetime.now(UTC) + timedelta(days=300))
    assert revocation_list(authority).last_update_utc > datetime.now(UTC)
    heal(authority)
    assert revocation_list(authority).last_update_utc <= datetime.now(UTC)
    assert len(revocation_list(authority)) == 1


def test_the_revocation_list_is_good_as_long_as_the_authority(authority: Authority) -> None:
    assert revocation_list(authority).next_update_utc == inspect(authority.directory / "ca.crt").not_after


def test_a_revocation_list_that_a_crash_left_behind_is_mended_by_the_next_command(authority: Authority) -> None:
    authority.issue_client("alice")
    before = (authority.directory / "crl.pem").read_bytes()
    authority.revoke("alice")
    (authority.directory / "crl.pem").write_bytes(before)
    authority.issue_client("bob")
    assert len(revocation_list(authority)) == 1
    assert list_number(authority) == 3


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_revocation_list_that_is_damaged_or_gone_is_written_anew(authority: Authority, damage: bytes | None) -> None:
    authority.issue_client("alice")
    authority.revoke("alice")
    if damage is None:
        (authority.directory / "crl.pem").unlink()
    else:
        (authority.directory / "crl.pem").write_bytes(damage)
    authority.issue_client("bob")
    assert len(revocation_list(authority)) == 1


def test_the_list_begins_with_the_authority_and_tells_kinds_hosts_and_ends(authority: Authority) -> None:
    authority.issue_client("alice")
    authority.issue_server(["localhost"])
    listed = authority.list()
    assert [(issued.name, issued.kind) for issued in listed] == [
        ("ca", CertificateKind.CA),
        ("alice", CertificateKind.CLIENT),
        ("server", CertificateKind.SERVER),
    ]
    assert all(issued.not_after == inspect(issued.cert).not_after for issued in listed)


def test_the_list_needs_no_key(authority: Authority) -> None:
    (authority.directory / "ca.key").unlink()
    assert [issued.name for issued in authority.list()] == ["ca"]


def test_an_expired_certificate_is_listed_as_expired(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, now=NOW)
    authority.issue_client("alice", now=NOW)
    (_, alice) = authority.list(now=NOW + timedelta(days=366))
    assert alice.state is CertificateState.EXPIRED


def test_lifetimes_are_ten_years_825_days_and_one_year(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, now=NOW)
    server = authority.issue_server(["localhost"], now=NOW)
    client = authority.issue_client("alice", now=NOW)
    own = authority.list(now=NOW)[0]
    assert [issued.not_after - NOW for issued in (own, server, client)] == [
        timedelta(days=3650),
        timedelta(days=825),
        timedelta(days=365),
    ]
    assert {issued.not_before for issued in (own, server, client)} == {NOW - timedelta(minutes=5)}


def test_nothing_outlives_the_authority(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, now=NOW)
    late = NOW + timedelta(days=3600)
    assert authority.issue_client("alice", now=late).not_after == NOW + timedelta(days=3650)


def test_an_authority_that_expired_issues_and_revokes_nothing_until_it_is_renewed(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, now=NOW)
    authority.issue_client("alice", now=NOW)
    late = NOW + timedelta(days=3650)
    with pytest.raises(CertificateError, match=r"expired on 2036-05-14; .*--renew"):
        authority.issue_client("bob", now=late)
    with pytest.raises(CertificateError, match="expired"):
        authority.revoke("alice", now=late)
    Authority.create(tmp_path, renew=True, now=late)
    authority.issue_client("bob", now=late)
    authority.revoke("alice", now=late)


def test_a_renewed_authority_keeps_its_key_and_name_so_that_what_it_issued_stays_good(authority: Authority) -> None:
    issued = authority.issue_client("alice")
    old = inspect(authority.directory / "ca.crt")
    Authority.create(authority.directory, renew=True, now=datetime.now(UTC) + timedelta(minutes=1))
    new = inspect(authority.directory / "ca.crt")
    assert (new.name, new.serial == old.serial) == (old.name, False)
    x509.load_pem_x509_certificate(issued.cert.read_bytes()).verify_directly_issued_by(
        x509.load_pem_x509_certificate((authority.directory / "ca.crt").read_bytes())
    )
    assert revocation_list(authority).next_update_utc == new.not_after


def test_renewing_an_authority_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="no authority here"):
        Authority.create(tmp_path / "pki", renew=True)
    assert not (tmp_path / "pki").exists()


def test_a_key_that_others_can_read_is_not_used(authority: Authority) -> None:
    (authority.directory / "ca.key").chmod(0o640)
    with pytest.raises(CertificateError, match=r"others can read it \(mode 0640\); `chmod 600"):
        authority.issue_client("alice")


def test_a_key_of_another_authority_is_not_used(authority: Authority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    shutil.copy(other.directory / "ca.key", authority.directory / "ca.key")
    with pytest.raises(CertificateError, match="not the key of"):
        authority.issue_client("alice")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("ca.crt", b"nonsense", "not a certificate"),
        ("ca.key", b"nonsense", "not a private key"),
        ("issued.json", b"nonsense", "restore it from a backup"),
        ("issued.json", b'{"version": 1}', "damaged"),
        ("issued.json", b"[]", "damaged"),
        ("issued.json", b'{"version": 2}', "its version is 2"),
    ],
)
def test_a_damaged_file_is_named(authority: Authority, name: str, content: bytes, problem: str) -> None:
    (authority.directory / name).write_bytes(content)
    with pytest.raises(CertificateError, match=problem) as caught:
        authority.issue_client("alice")
    assert str(caught.value).startswith(str(authority.directory / name))


def test_a_key_of_another_kind_is_named(authority: Authority) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (authority.directory / "ca.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *pem))
    with pytest.raises(CertificateError, match="not an elliptic-curve key"):
        authority.issue_client("alice")


def test_a_key_that_wants_a_password_is_named(authority: Authority) -> None:
    pem = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    key = ec.generate_private_key(ec.SECP256R1())
    (authority.directory / "ca.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *pem))
    with pytest.raises(CertificateError, match=r"ca\.key: not a private key"):
        authority.issue_client("alice")


def test_a_register_that_is_missing_stops_issuing(authority: Authority) -> None:
    (authority.directory / "issued.json").unlink()
    with pytest.raises(CertificateError, match=r"issued\.json: missing; restore it"):
        authority.issue_client("alice")


def test_the_register_knows_a_certificate_before_its_files_are_there(authority: Authority) -> None:
    (authority.directory / "alice.crt").mkdir()
    with pytest.raises(CertificateError, match=r"alice\.crt: cannot be written"):
        authority.issue_client("alice", renew=True)
    assert [entry["name"] for entry in json.loads((authority.directory / "issued.json").read_text())["issued"]] == [
        "alice"
    ]


def test_of_tools_that_run_at_once_exactly_one_issues_a_name(authority: Authority) -> None:
    """I7"""

    def attempt(_: int) -> str:
        try:
            return Authority.open(authority.directory).issue_client("alice").serial
        except CertificateError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        (serial,) = [answer for answer in pool.map(attempt, range(8)) if "--renew" not in answer]
    assert inspect(authority.directory / "alice.crt").serial == serial


def test_of_tools_that_run_at_once_none_forgets_what_another_issued(authority: Authority) -> None:
    names = [f"client{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: Authority.open(authority.directory).issue_client(name), names))
    assert {issued.name for issued in authority.list()} == {"ca", *names}


def test_of_tools_that_run_at_once_exactly_one_makes_an_authority(tmp_path: Path) -> None:
    def attempt(_: int) -> bool:
        try:
            Authority.create(tmp_path / "pki")
        except CertificateError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(8))).count(True) == 1
    Authority.open(tmp_path / "pki").issue_client("alice")


@needs_openssl
def test_openssl_finds_every_certificate_strictly_right(authority: Authority) -> None:
    server = authority.issue_server(["localhost", "127.0.0.1"])
    client = authority.issue_client("alice")
    assert openssl_verify(authority, server.cert, "sslserver") == "OK"
    assert openssl_verify(authority, client.cert, "sslclient") == "OK"


@needs_openssl
def test_openssl_finds_each_certificate_wrong_for_the_other_side(authority: Authority) -> None:
    server = authority.issue_server(["localhost"])
    client = authority.issue_client("alice")
    assert "unsuitable certificate purpose" in openssl_verify(authority, server.cert, "sslclient")
    assert "unsuitable certificate purpose" in openssl_verify(authority, client.cert, "sslserver")


@needs_openssl
def test_openssl_finds_a_revoked_certificate_revoked(authority: Authority) -> None:
    client = authority.issue_client("alice")
    authority.issue_client("bob")
    authority.revoke("alice")
    assert "certificate revoked" in openssl_verify(authority, client.cert, "sslclient")
    assert openssl_verify(authority, authority.directory / "bob.crt", "sslclient") == "OK"


def openssl_verify(authority: Authority, cert: Path, purpose: str) -> str:
    directory = authority.directory
    finished = run(
        *("openssl", "verify", "-x509_strict", "-purpose", purpose, "-crl_check", "-check_ss_sig"),
        *("-CAfile", str(directory / "ca.crt"), "-CRLfile", str(directory / "crl.pem"), str(cert)),
    )
    return "OK" if finished.returncode == 0 else finished.stdout + finished.stderr


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
