from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gproc.store.index import RECORD_BYTES, IndexRecord, Kind, decode
from gproc.store.writer import Extent, OutputWriter

MS = 1_000_000
SECOND = 1000 * MS
MIB = 1024 * 1024


class Disk:
    """Two files, and a disk below them that can be short of room."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.output_fd = os.open(directory / "output", flags, 0o600)
        self.index_fd = os.open(directory / "index", flags, 0o600)
        self.free: int | None = None
        self.most = 1 << 20
        """What one write takes."""
        self.failure = errno.ENOSPC
        self.writes = 0
        self._pwrite = os.pwrite
        monkeypatch.setattr("gproc.store.writer.os.pwrite", self.pwrite)

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        self.writes += 1
        data = data[: self.most]
        if self.free is None:
            return self._pwrite(fd, data, offset)
        if not self.free:
            raise OSError(self.failure, os.strerror(self.failure))
        # A write that does not fit is short, and the next one fails.
        written = self._pwrite(fd, data[: self.free], offset)
        self.free -= written
        return written

    @property
    def output(self) -> bytes:
        return os.pread(self.output_fd, 1 << 20, 0)

    @property
    def index(self) -> list[IndexRecord | None]:
        data = os.pread(self.index_fd, 1 << 20, 0)
        return [decode(data, position) for position in range(0, len(data) // RECORD_BYTES * RECORD_BYTES, RECORD_BYTES)]

    def close(self) -> None:
        os.close(self.output_fd)
        os.close(self.index_fd)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(tmp_path, monkeypatch)
    yield disk
    disk.close()


def test_bytes_of_both_streams_stand_in_their_order_of_arrival(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    writer.append(Kind.STDOUT, b"one ", 1)
    writer.append(Kind.STDERR, memoryview(b"two "), 2)
    writer.append(Kind.STDOUT, b"three", 3)
    assert disk.output == b"one two three"
    assert disk.index == [
        IndexRecord(0, 1, Kind.STDOUT),
        IndexRecord(4, 2, Kind.STDERR),
        IndexRecord(8, 3, Kind.STDOUT),
    ]
    assert writer.extent == Extent(13, 13, 0)


def test_one_stream_gets_a_record_every_ten_milliseconds_at_most(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    for now in range(0, 30 * MS, MS):
        writer.append(Kind.STDOUT, b"x", now)
    assert [record.time_ns for record in disk.index if record] == [0, 10 * MS, 20 * MS]


def test_e12_times_never_fall_when_the_clock_does(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    day = 86400 * SECOND
    for kind, now in ((Kind.STDOUT, day), (Kind.STDERR, 0), (Kind.STDOUT, 2 * day)):
        writer.append(kind, b"x", now)
    assert [record.time_ns for record in disk.index if record] == [day, day, 2 * day]


def test_d7_a_short_write_keeps_what_fits_and_counts_the_rest(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    disk.free = RECORD_BYTES + 3
    writer.append(Kind.STDOUT, b"abcdef", 0)
    assert writer.extent == Extent(6, 3, 3)
    assert disk.output == b"abc"


def test_a_write_that_takes_less_than_there_is_room_for_goes_on(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    disk.most = 5
    writer.append(Kind.STDOUT, b"one, two, three", 1)
    assert (disk.output, disk.index) == (b"one, two, three", [IndexRecord(0, 1, Kind.STDOUT)])
    assert writer.extent == Extent(15, 15, 0)


@pytest.mark.parametrize("room", [0, RECORD_BYTES, RECORD_BYTES + 2])
def test_d7_on_a_full_disk_nothing_is_tried_again_before_a_moment_has_passed(disk: Disk, room: int) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    disk.free = room
    writer.append(Kind.STDOUT, b"abc", SECOND)
    tried, kept = disk.writes, writer.extent.kept
    for now in range(SECOND, SECOND + 100 * MS, MS):
        writer.append(Kind.STDOUT, b"abc", now)
    assert disk.writes == tried
    assert writer.extent == Extent(303, kept, 303 - kept)
    disk.free = None
    writer.append(Kind.STDOUT, b"abc", SECOND + 100 * MS)
    assert writer.extent == Extent(306, 306, 303 - kept)


def test_d7_when_there_is_room_again_the_gap_is_exact(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    writer.append(Kind.STDOUT, b"abc", 0)
    disk.free = 0
    writer.append(Kind.STDERR, b"lost", SECOND)
    disk.free = None
    writer.append(Kind.STDOUT, b"back", 2 * SECOND)
    assert disk.output == b"abc\0\0\0\0back"
    assert disk.index == [
        IndexRecord(0, 0, Kind.STDOUT),
        IndexRecord(3, 2 * SECOND, Kind.GAP),
        IndexRecord(7, 2 * SECOND, Kind.STDOUT),
    ]
    assert writer.extent == Extent(11, 11, 4)


@pytest.mark.parametrize("room", range(2 * RECORD_BYTES))
def test_d7_records_cut_anywhere_are_written_whole_at_the_next_time(disk: Disk, room: int) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    disk.free = 0
    writer.append(Kind.STDOUT, b"lost", 0)
    disk.free = room
    writer.append(Kind.STDERR, b"lost too", SECOND)
    disk.free = None
    writer.append(Kind.STDOUT, b"back", 2 * SECOND)
    assert disk.index == [IndexRecord(0, 2 * SECOND, Kind.GAP), IndexRecord(12, 2 * SECOND, Kind.STDOUT)]
    assert writer.extent == Extent(16, 16, 12)


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT, errno.EFBIG])
def test_d8_a_failing_disk_is_the_same_to_the_job_as_a_full_one(disk: Disk, number: int) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd)
    disk.free, disk.failure = RECORD_BYTES, number
    writer.append(Kind.STDOUT, b"abc", 0)
    assert writer.extent == Extent(3, 0, 3)


def test_d8_a_disk_that_does_not_say_how_much_room_it_has_is_the_same_as_a_full_one(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = OutputWriter(disk.output_fd, disk.index_fd, reserve=1)
    with monkeypatch.context() as patch:
        patch.setattr("gproc.store.writer.os.fstatvfs", fail)
        writer.append(Kind.STDOUT, b"abc", SECOND)
    writer.append(Kind.STDOUT, b"de", 2 * SECOND)
    assert writer.extent == Extent(5, 5, 3)


def test_d6_what_goes_beyond_the_cap_is_dropped_to_the_byte(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd, cap=5)
    writer.append(Kind.STDOUT, b"abc", 0)
    full = [writer.is_full]
    writer.append(Kind.STDERR, b"defg", 0)
    full.append(writer.is_full)
    writer.append(Kind.STDOUT, b"hi", SECOND)
    assert full == [False, True]
    assert disk.output == b"abcde"
    assert writer.extent == Extent(9, 5, 4)


def test_d6_a_job_that_wrote_exactly_its_cap_is_not_full(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd, cap=3)
    writer.append(Kind.STDOUT, b"abc", 0)
    assert (writer.is_full, writer.extent.dropped) == (False, 0)


def test_d6_a_gap_counts_towards_the_cap_like_the_bytes_it_stands_for(disk: Disk) -> None:
    writer = OutputWriter(disk.output_fd, disk.index_fd, cap=5)
    disk.free = 0
    writer.append(Kind.STDOUT, b"lost", 0)
    disk.free = None
    writer.append(Kind.STDOUT, b"ab", SECOND)
    assert disk.output == b"\0\0\0\0a"
    assert writer.extent == Extent(6, 5, 5)


def test_the_reserve_of_the_disk_is_left_alone(disk: Disk) -> None:
    about = os.fstatvfs(disk.output_fd)
    writer = OutputWriter(disk.output_fd, disk.index_fd, reserve=about.f_blocks * about.f_frsize + 1)
    writer.append(Kind.STDOUT, b"abc", SECOND)
    assert (writer.extent, disk.output) == (Extent(3, 0, 3), b"")


class Sharing:
    """A disk that others use, too; *room* bytes of it are beyond the reserve."""

    RESERVE = 256 * MIB
    BLOCK = 4096

    def __init__(self, disk: Disk, monkeypatch: pytest.MonkeyPatch, *, room: int) -> None:
        self.room = room
        self.looks = 0
        self.writer = OutputWriter(disk.output_fd, disk.index_fd, reserve=self.RESERVE)
        monkeypatch.setattr("gproc.store.writer.os.fstatvfs", self.fstatvfs)

    def fstatvfs(self, _fd: int) -> SimpleNamespace:
        self.looks += 1
        free = self.RESERVE + self.room
        return SimpleNamespace(f_bavail=free // self.BLOCK, f_frsize=self.BLOCK)

    def append(self, size: int, now_ns: int) -> int:
        """Append *size* bytes; return how many were kept."""
        dropped = self.writer.extent.dropped
        self.writer.append(Kind.STDOUT, bytes(size), now_ns)
        kept = size - (self.writer.extent.dropped - dropped)
        self.room -= kept
        return kept


def test_d7_however_fast_a_job_writes_it_takes_one_piece_of_the_reserve_at_most_and_looks_are_few(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = Sharing(disk, monkeypatch, room=6 * MIB)
    piece = 64 * 1024
    kept = sum(sharing.append(piece, SECOND) for _ in range(200))
    assert 6 * MIB <= kept <= 6 * MIB + piece
    assert sharing.looks <= 4


def test_d7_what_others_write_is_seen_after_a_moment_or_four_mebibytes(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = Sharing(disk, monkeypatch, room=100 * MIB)
    assert sharing.append(10, SECOND) == 10
    sharing.room = -1
    assert [sharing.append(10, SECOND + after * MS) for after in (1, 99, 100)] == [10, 10, 0]
    sharing.room = 100 * MIB
    assert sharing.append(MIB, 2 * SECOND) == MIB
    sharing.room = -1
    assert [sharing.append(MIB, 2 * SECOND) for _ in range(5)] == [MIB, MIB, MIB, 0, 0]


@pytest.mark.parametrize(("room", "size", "kept"), [(0, 10, 0), (Sharing.BLOCK, 10, 10), (Sharing.BLOCK, MIB, MIB)])
def test_d7_writing_goes_on_once_a_block_is_free_beyond_the_reserve(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, room: int, size: int, kept: int
) -> None:
    sharing = Sharing(disk, monkeypatch, room=-Sharing.BLOCK)
    assert sharing.append(10, SECOND) == 0
    sharing.room = room
    assert sharing.append(size, 2 * SECOND) == kept


def test_e12_a_clock_that_is_set_back_does_not_put_off_the_next_look(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = Sharing(disk, monkeypatch, room=-1)
    assert sharing.append(10, 3600 * SECOND) == 0
    sharing.room = MIB
    assert sharing.append(10, SECOND) == 10
