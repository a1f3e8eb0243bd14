from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gproc.client.tls import client_context
from gproc.errors import ConfigError


def test_the_context_speaks_tls_13_and_checks_names(alice: dict[str, Path]) -> None:
    context = client_context(**alice)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.hostname_checks_common_name
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("setting", ["cacert", "cert", "key"])
def test_a_missing_file_is_named_with_what_to_give(alice: dict[str, Path], setting: str) -> None:
    with pytest.raises(ConfigError, match=f"^{setting} /nowhere/x: No such file or directory; give "):
        client_context(**{**alice, setting: Path("/nowhere/x")})


@pytest.mark.parametrize("path", [None, 3, b"ca.crt", "a\0b"])
@pytest.mark.parametrize("setting", ["cacert", "cert", "key"])
def test_what_names_no_file_is_told_with_what_to_give(alice: dict[str, Path], setting: str, path: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{setting} {re.escape(repr(path))}: not the name of a file; give "):
        client_context(**{**alice, setting: path})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(pki: Any, mode: int) -> None:
    files = pki.files(f"mode{mode:o}")
    files["key"].chmod(mode)
    with pytest.raises(ConfigError) as caught:
        client_context(**files)
    assert str(caught.value) == f"key {files['key']}: others can read it (mode 0{mode:o}); `chmod 600 {files['key']}`"


def test_what_counts_is_the_key_that_a_link_leads_to(alice: dict[str, Path], tmp_path: Path) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(alice["key"])
    client_context(**{**alice, "key": link})


@pytest.mark.parametrize("setting", ["cacert", "cert"])
def test_a_file_that_holds_no_certificate_is_named(alice: dict[str, Path], tmp_path: Path, setting: str) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hello\n")
    with pytest.raises(ConfigError, match=f"{setting} {nonsense}"):
        client_context(**{**alice, setting: nonsense})


def test_the_key_of_another_certificate_is_told(alice: dict[str, Path], pki: Any) -> None:
    other = pki.files("bob")
    with pytest.raises(ConfigError, match=f"key {other['key']}: not the key of {alice['cert']}"):
        client_context(**{**alice, "key": other["key"]})


def test_who_gives_the_certificate_as_the_key_is_told_which_file_to_give_not_to_hide_it(alice: dict[str, Path]) -> None:
    alice["cert"].chmod(0o644)
    with pytest.raises(ConfigError, match=r"cannot be used .*the key of your certificate, as alice.key"):
        client_context(**{**alice, "key": alice["cert"]})


def test_an_encrypted_key_is_told_instead_of_asking_for_its_password(alice: dict[str, Path], tmp_path: Path) -> None:
    key = load_pem_private_key(alice["key"].read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with os.fdopen(os.open(encrypted, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    with pytest.raises(ConfigError, match=f"key {encrypted}: encrypted with a password"):
        client_context(**{**alice, "key": encrypted})
