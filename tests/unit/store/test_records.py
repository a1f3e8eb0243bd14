from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from gproc.errors import StateError
from gproc.store.records import (
    GrowingRecord,
    NewerRecordError,
    TornRecordError,
    create_record,
    decode,
    encode,
    read_record,
    write_record,
)

DOCUMENT = {"id": "x", "é": ["\0", "\udc80", 1.5, None], "nested": {"a": {}}}


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_record_is_one_line_that_reads_back_equal() -> None:
    data = encode(DOCUMENT)
    assert data.count(b"\n") == 1
    assert data.endswith(b"}\n")
    assert decode(data) == DOCUMENT


def test_e6_a_record_cut_at_any_byte_is_torn() -> None:
    data = encode(DOCUMENT)
    for length in range(len(data)):
        with pytest.raises(TornRecordError):
            decode(data[:length])


def test_e6_every_flipped_bit_is_seen() -> None:
    data = encode(DOCUMENT)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((TornRecordError, NewerRecordError)):
            decode(bytes(flipped))


def test_e6_a_record_of_a_newer_version_is_told_from_a_torn_one() -> None:
    with pytest.raises(NewerRecordError, match="record version 2"):
        decode(encode(DOCUMENT).replace(b'{"gproc":1,', b'{"gproc":2,'))


def test_a_record_that_is_nested_too_deep_to_be_read_is_torn() -> None:
    body = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    with pytest.raises(TornRecordError, match="too deep"):
        decode(b'{"gproc":1,"crc32":"%08x","record":%s}\n' % (crc32(body), body))


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"null", b'{"gproc":1,"crc32":"00000000","record":}\n'])
def test_what_was_never_a_record_is_torn(data: bytes) -> None:
    with pytest.raises(TornRecordError):
        decode(data)


@pytest.mark.parametrize(
    ("body", "problem"), [(b"[]", "not an object"), (b"1", "not an object"), (b"{", "not JSON"), (b"\xff", "not JSON")]
)
def test_a_whole_record_of_no_document_is_torn(body: bytes, problem: str) -> None:
    with pytest.raises(TornRecordError, match=problem):
        decode(b'{"gproc":1,"crc32":"%08x","record":%s}\n' % (crc32(body), body))


def test_a_record_on_disk_is_private_and_replaced_in_one_step(dir_fd: int, tmp_path: Path) -> None:
    write_record("r.json", {"n": 1}, dir_fd=dir_fd)
    before = os.open(tmp_path / "r.json", os.O_RDONLY)
    write_record("r.json", {"n": 2}, dir_fd=dir_fd, durable=False)
    try:
        assert decode(os.read(before, 1000)) == {"n": 1}
    finally:
        os.close(before)
    assert read_record("r.json", dir_fd=dir_fd) == {"n": 2}
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]


@pytest.fixture
def record(dir_fd: int) -> Iterator[GrowingRecord]:
    record = GrowingRecord("r.json", dir_fd=dir_fd)
    yield record
    record.close()


def test_of_a_record_that_grows_the_last_version_counts(record: GrowingRecord, dir_fd: int, tmp_path: Path) -> None:
    for number in range(3):
        record.write({"n": number}, durable=number == 2)
        assert read_record("r.json", dir_fd=dir_fd) == {"n": number}
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600


def test_e6_of_a_record_that_grows_cut_at_any_byte_the_last_whole_version_counts(
    record: GrowingRecord, dir_fd: int, tmp_path: Path
) -> None:
    for number in range(2):
        record.write({"n": number}, durable=False)
    data = (tmp_path / "r.json").read_bytes()
    first = data.index(b"\n") + 1
    for length in range(first, len(data)):
        (tmp_path / "r.json").write_bytes(data[:length])
        assert read_record("r.json", dir_fd=dir_fd) == {"n": 0}


def test_e6_no_flipped_bit_of_a_record_that_grows_makes_another_one(
    record: GrowingRecord, dir_fd: int, tmp_path: Path
) -> None:
    for number in range(2):
        record.write({"n": number}, durable=False)
    data = (tmp_path / "r.json").read_bytes()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "r.json").write_bytes(flipped)
        try:
            found = read_record("r.json", dir_fd=dir_fd)
        except StateError:
            continue
        assert found in ({"n": 0}, {"n": 1})


@pytest.mark.parametrize("meddle", ["replaced", "cut", "gone"])
def test_e6_a_version_is_not_written_behind_what_somebody_else_left(
    record: GrowingRecord, dir_fd: int, tmp_path: Path, meddle: str
) -> None:
    record.write({"n": 1}, durable=False)
    if meddle == "cut":
        (tmp_path / "r.json").write_bytes(b"cut")
    else:
        (tmp_path / "r.json").unlink()
        if meddle == "replaced":
            write_record("r.json", {"n": 2}, dir_fd=dir_fd)
    record.write({"n": 3}, durable=True)
    assert read_record("r.json", dir_fd=dir_fd) == {"n": 3}


def test_a_version_that_cannot_be_written_whole_is_written_again_in_its_place(
    record: GrowingRecord, dir_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write({"n": 1}, durable=False)
    write, calls = os.pwrite, 0

    def half_full(fd: int, data: bytes, position: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        return write(fd, data[:10], position) if calls == 1 else write(fd, data, position)

    monkeypatch.setattr("gproc.store.records.os.pwrite", half_full)
    with pytest.raises(OSError, match="No space left"):
        record.write({"n": 2}, durable=False)
    assert read_record("r.json", dir_fd=dir_fd) == {"n": 1}
    record.write({"n": 3}, durable=True)
    assert read_record("r.json", dir_fd=dir_fd) == {"n": 3}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is brought to the disk, and when the name of the record is changed."""
    steps: list[str] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def synced(fd: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "content")
        fsync(fd)

    def named(change: Callable[..., None]) -> Callable[..., None]:
        def noted(*names: str, **fds: int) -> None:
            steps.append("name")
            change(*names, **fds)

        return noted

    monkeypatch.setattr("gproc.store.records.os.fsync", synced)
    monkeypatch.setattr("gproc.store.records.os.rename", named(rename))
    monkeypatch.setattr("gproc.store.records.os.replace", named(replace))
    return steps


def test_e6_what_is_to_outlive_a_crash_of_the_machine_is_on_the_disk_when_it_is_written(
    dir_fd: int, record: GrowingRecord, steps: list[str]
) -> None:
    def taken() -> list[str]:
        taken, steps[:] = steps[:], []
        return taken

    create_record("c.json", {"n": 1}, dir_fd=dir_fd)
    assert taken() == ["name", "content", "directory"]
    write_record("w.json", {"n": 1}, dir_fd=dir_fd)
    assert taken() == ["content", "name", "directory"]  # what it replaces is there until it is whole
    record.write({"n": 1}, durable=True)
    assert taken() == ["name", "content", "directory"]
    record.write({"n": 2}, durable=True)
    assert taken() == ["content", "directory"]
    record.write({"n": 3}, durable=False)
    write_record("w.json", {"n": 2}, dir_fd=dir_fd, durable=False)
    assert taken() == ["name"]


def test_a_first_record_is_private_and_there_is_nothing_else(dir_fd: int, tmp_path: Path) -> None:
    create_record("r.json", {"n": 1}, dir_fd=dir_fd)
    assert read_record("r.json", dir_fd=dir_fd) == {"n": 1}
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]


def test_a_first_record_that_cannot_be_written_is_not_there(dir_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes, position: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gproc.store.records.os.pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        create_record("r.json", {"n": 1}, dir_fd=dir_fd)
    with pytest.raises(FileNotFoundError):
        read_record("r.json", dir_fd=dir_fd)


def test_a_record_that_cannot_be_written_leaves_the_old_one(dir_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record("r.json", {"n": 1}, dir_fd=dir_fd)

    def full(fd: int, data: bytes, position: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gproc.store.records.os.pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        write_record("r.json", {"n": 2}, dir_fd=dir_fd)
    assert read_record("r.json", dir_fd=dir_fd) == {"n": 1}


def test_short_writes_are_carried_on(dir_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr("gproc.store.records.os.pwrite", lambda fd, data, position: write(fd, data[:7], position))
    write_record("r.json", DOCUMENT, dir_fd=dir_fd)
    assert read_record("r.json", dir_fd=dir_fd) == DOCUMENT


def test_a_record_that_is_not_there_is_told_from_a_torn_one(dir_fd: int) -> None:
    with pytest.raises(FileNotFoundError):
        read_record("r.json", dir_fd=dir_fd)


def test_d8_links_are_not_followed(dir_fd: int, tmp_path: Path) -> None:
    write_record("real.json", {"n": 1}, dir_fd=dir_fd)
    (tmp_path / "r.json").symlink_to("real.json")
    (tmp_path / "s.json.new").symlink_to("real.json")
    with pytest.raises(OSError, match="symbolic links"):
        read_record("r.json", dir_fd=dir_fd)
    write_record("s.json", {"n": 2}, dir_fd=dir_fd)
    assert read_record("real.json", dir_fd=dir_fd) == {"n": 1}
    assert read_record("s.json", dir_fd=dir_fd) == {"n": 2}


@pytest.mark.parametrize("put", [os.mkfifo, Path.touch, lambda path: path.symlink_to("elsewhere")])
def test_what_is_in_the_place_of_a_record_that_is_being_written_makes_way(
    tmp_path: Path, dir_fd: int, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "record.json.new")
    write_record("record.json", DOCUMENT, dir_fd=dir_fd)
    assert read_record("record.json", dir_fd=dir_fd) == DOCUMENT
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
