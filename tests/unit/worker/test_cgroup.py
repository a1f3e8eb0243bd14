from __future__ import annotations

from pathlib import Path

import pytest

from gproc.errors import StartFailed
from gproc.model import Usage
from gproc.worker.cgroup import JobCgroup, prepare_subtree


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
