from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from gproc.certs import _files
from gproc.certs._files import PRIVATE, add_file, locked, read_file, replace_file
from gproc.errors import CertificateError


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_new_file_has_its_content_and_its_mode(tmp_path: Path) -> None:
    add_file(tmp_path / "key", b"secret", PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert names(tmp_path) == ["key"]


def test_a_file_that_is_there_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        add_file(tmp_path / "key", b"secret", PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"precious"
    assert names(tmp_path) == ["key"]


def test_a_link_to_nowhere_counts_as_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        add_file(tmp_path / "key", b"secret", PRIVATE)
    assert names(tmp_path) == ["key"]


def test_replacing_a_link_does_not_write_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    replace_file(tmp_path / "key", b"secret", PRIVATE)
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert not (tmp_path / "key").is_symlink()


def test_a_file_is_replaced_with_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"old")
    (tmp_path / "key").chmod(0o644)
    replace_file(tmp_path / "key", b"new", PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7"""
    (tmp_path / "key").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CertificateError, match="key: cannot be written: No space left on device"):
        replace_file(tmp_path / "key", b"new", PRIVATE)
    with pytest.raises(CertificateError, match="cannot be written"):
        add_file(tmp_path / "other", b"new", PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"old"
    assert names(tmp_path) == ["key"]


def test_what_cannot_be_written_is_named_also_where_nothing_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateError, match="file/key: cannot be written: Not a directory"):
        replace_file(tmp_path / "file" / "key", b"new", PRIVATE)


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"gone/key: cannot be written: No such file"):
        add_file(tmp_path / "gone" / "key", b"secret", PRIVATE)
    with pytest.raises(CertificateError, match="gone: No such file or directory"), locked(tmp_path / "gone"):
        pass


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="nothing: No such file"):
        read_file(tmp_path / "nothing")


def test_a_directory_is_locked_for_one_at_a_time_and_the_wait_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "_PATIENCE", 0.05)
    with locked(tmp_path):
        second = locked(tmp_path)
        with pytest.raises(CertificateError, match="another gproc certs is at work here"):
            second.__enter__()
    with locked(tmp_path):
        pass
