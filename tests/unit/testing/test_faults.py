from __future__ import annotations

import errno
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import gproc.worker.supervisor as supervisor_module
from gproc.errors import StateError
from gproc.model import JobState
from gproc.store.retention import Retention
from gproc.testing import faults
from gproc.worker import Supervisor, SupervisorSettings

MIB = 1 << 20


@pytest.mark.parametrize("name", faults.__all__)
def test_every_fault_has_the_name_that_is_promised(name: str) -> None:
    assert getattr(faults, name).__name__ == name


def test_a_fault_that_is_not_there_is_told_like_any_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'earthquake'"):
        _ = faults.earthquake


def test_a_full_disk_has_no_room_and_a_freed_one_has_it_again(tmp_path: Path) -> None:
    with faults.small_disk(4 * MIB, parent=tmp_path) as disk:
        assert 2 * MIB < disk.free_bytes() <= 4 * MIB
        disk.fill()
        assert disk.free_bytes() <= 0
        disk.free()
        disk.free()
        assert disk.free_bytes() > 2 * MIB
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_writing_to_a_full_disk_fails(tmp_path: Path) -> None:
    with faults.small_disk(MIB, parent=tmp_path) as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left") as refused:
            (disk.path / "file").write_bytes(bytes(4096))
        assert refused.value.errno == errno.ENOSPC


def test_without_a_file_system_of_its_own_a_full_disk_is_a_reserve_that_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with faults.small_disk(16 * MIB, parent=tmp_path) as disk:
        assert not disk.is_real
        assert disk.reserve_bytes > 0
        disk.fill()
        assert disk.free_bytes() < 0
        disk.free()
        assert disk.free_bytes() > 0


def test_a_disk_that_is_smaller_than_what_is_asked_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StateError, match="less than"), faults.small_disk(1 << 60, parent=tmp_path):
        pass


def test_only_spare_descriptors_can_be_had() -> None:
    with faults.few_descriptors(spare=2):
        had = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]
        with pytest.raises(OSError, match="Too many open files"):
            os.open("/dev/null", os.O_RDONLY)
        for fd in had:
            os.close(fd)
    os.close(os.open("/dev/null", os.O_RDONLY))


def test_damage_flips_one_bit_or_cuts_the_file_off(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(b"abcdef")
    faults.Damage(path, 2, 0).apply()
    assert path.read_bytes() == b"abbdef"
    faults.Damage(path, 4).apply()
    assert path.read_bytes() == b"abbd"
    assert str(faults.Damage(path, 2, 0)) == "record: bit 0 flipped in byte 2"
    assert str(faults.Damage(path, 4)) == "record: cut off at byte 4"


def test_random_damage_hits_every_file_and_only_places_that_are_there(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("small", "large", "empty")]
    for file, size in zip(files, (1, 100_000, 0), strict=True):
        file.write_bytes(bytes(size))
    damages = [faults.random_damage(random.Random(seed), files) for seed in range(50)]
    assert {damage.path.name for damage in damages} == {"small", "large"}
    assert all(0 <= damage.position < damage.path.stat().st_size for damage in damages)
    assert {damage.bit is None for damage in damages} == {True, False}


async def test_e12_a_clock_that_jumps_forward_lets_finished_jobs_expire_and_no_other(tmp_path: Path) -> None:
    settings = SupervisorSettings(retention=Retention(age=timedelta(days=1), count=None, bytes=None))
    async with Supervisor(tmp_path / "state", settings) as supervisor:
        await supervisor.wait(await supervisor.start("true"))
        running = await supervisor.start("sleep", ["60"])
    with faults.shifted_clock(timedelta(days=2)):
        async with Supervisor(tmp_path / "state", settings) as supervisor:
            await supervisor._retain()
            assert [job.id for job in supervisor.list().jobs] == [running]
            assert (await supervisor.stop(running)).state is JobState.STOPPED


async def test_e12_no_job_ends_before_it_began_when_the_clock_jumps_back(tmp_path: Path) -> None:
    with faults.shifted_clock() as clock:
        async with Supervisor(tmp_path / "state") as supervisor:
            first = await supervisor.start("sleep", ["60"])
            clock.jump(timedelta(days=-1))
            second = await supervisor.start("true")
            for status in (await supervisor.stop(first), await supervisor.wait(second)):
                assert status.created_at is not None
                assert status.started_at is not None
                assert status.ended_at is not None
                assert status.started_at <= status.ended_at
        assert clock.offset == timedelta(days=-1)


def test_a_shifted_clock_is_over_with_its_block() -> None:
    before = vars(supervisor_module)["datetime"]
    with faults.shifted_clock(timedelta(days=400)):
        assert vars(supervisor_module)["datetime"].now(UTC) - datetime.now(UTC) > timedelta(days=399)
    assert vars(supervisor_module)["datetime"] is before
