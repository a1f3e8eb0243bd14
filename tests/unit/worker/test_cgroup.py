from __future__ import annotations

import os
from pathlib import Path

import pytest

from gproc.errors import StartFailed
from gproc.model import Usage
from gproc.worker.cgroup import JobCgroup, disk_of, prepare_subtree, was_taken


def test_what_is_no_cgroup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"not a cgroup v2 with cgroup\.kill"):
        prepare_subtree(tmp_path / "group")


def test_c6_figures_come_from_the_group_where_it_has_them(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    group = JobCgroup(tmp_path)
    assert group.oom_kills() == 1
    assert group.usage(Usage(cpu_seconds=9, max_rss_bytes=9)) == Usage(cpu_seconds=1.5, max_rss_bytes=4096)


def test_c6_without_figures_the_measured_ones_stand(tmp_path: Path) -> None:
    group = JobCgroup(tmp_path / "gone")
    assert group.oom_kills() == 0
    assert group.usage(Usage(cpu_seconds=9, max_rss_bytes=9)) == Usage(cpu_seconds=9, max_rss_bytes=9)


def test_f4_a_bound_that_cannot_be_set_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"pids\.max: cannot be set: No such file"):
        JobCgroup(tmp_path / "gone").bound((("pids.max", "5"),))


def test_f4_a_bound_is_read_back(tmp_path: Path) -> None:
    JobCgroup(tmp_path).bound((("pids.max", "5"),))
    assert (tmp_path / "pids.max").read_text() == "5"


def test_killing_and_removing_what_is_gone_does_nothing(tmp_path: Path) -> None:
    group = JobCgroup(tmp_path / "gone")
    group.kill()
    group.remove()


@pytest.mark.parametrize(
    ("asked", "taken", "is_taken"),
    [
        ("5", "5", True),
        ("5", "max", False),
        ("10000", "8192", True),
        ("10000", "4096", False),
        ("8:0 rbps=1000", "8:0 rbps=1000 wbps=max riops=max wiops=max", True),
        ("8:0 rbps=1000 wbps=5", "8:16 rbps=1 wbps=max\n8:0 rbps=1000 wbps=5 riops=max wiops=max", True),
        ("8:0 rbps=1000 wbps=5", "8:0 rbps=1000 wbps=max riops=max wiops=max", False),
        ("8:0 rbps=1000", "8:16 rbps=1000 wbps=max riops=max wiops=max", False),
        ("8:0 rbps=1000", "", False),
    ],
)
def test_f4_a_bound_counts_only_as_the_kernel_took_it(asked: str, taken: str, is_taken: bool) -> None:
    assert was_taken(asked, taken) is is_taken


def test_f4_the_disk_of_a_directory_is_the_whole_one(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    name = f"{os.major(number)}:{os.minor(number)}"
    disk = tmp_path / "disk"
    part = disk / "part"
    part.mkdir(parents=True)
    (disk / "dev").write_text("8:0\n")
    (part / "dev").write_text(f"{name}\n")
    devices = tmp_path / "devices"
    devices.mkdir()
    (devices / name).symlink_to(part)
    assert disk_of(str(tmp_path), devices) == name
    (part / "partition").write_text("1\n")
    assert disk_of(str(tmp_path), devices) == "8:0"


def test_f4_a_directory_on_no_block_device_has_no_disk(tmp_path: Path) -> None:
    assert disk_of(str(tmp_path), tmp_path) == ""
    assert disk_of(str(tmp_path / "gone")) == ""
