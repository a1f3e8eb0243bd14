from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from gproc_support.supervision import until_output

from gproc.errors import StartFailed, StateError
from gproc.model import JobState, Usage
from gproc.worker import Supervisor, SupervisorSettings
from gproc.worker.cgroup import JobCgroup, disk_of, prepare_subtree, was_taken
from gproc.worker.holder import holder_of_lock

DELEGATED = "from gproc.worker.cgroup import delegated_subtree; print(delegated_subtree())"


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A directory with as much of a cgroup as is looked at."""
    group = tmp_path / "group"
    group.mkdir()
    (group / "cgroup.kill").touch()
    return group


@pytest.fixture
def unit() -> Iterator[Path]:
    """A cgroup of the kernel's, of which nothing says that it is delegated, with a leaf in it."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text(encoding="ascii").splitlines())
    mount = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if mount is None or not os.access(mount, os.W_OK) or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup v2")
    unit = mount / f"gproc-unit-{os.getpid()}"
    unit.mkdir()
    (unit / "leaf").mkdir()
    try:
        yield unit
    finally:
        (unit / "leaf").rmdir()
        unit.rmdir()


def asked_within(group: Path, program: str) -> str:
    """Return what *program* prints, run by a process in *group*."""
    enter = f'echo 0 > {group}/cgroup.procs && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", enter, "sh", sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def handed_on(*groups: Path) -> Sequence[bool]:
    return [(group / "cgroup.subtree_control").exists() for group in groups]


def test_what_is_no_cgroup_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"not a cgroup v2 with cgroup\.kill"):
        prepare_subtree(tmp_path / "group")
    assert not (tmp_path / "group").exists()


def test_a_group_that_is_not_there_is_made_in_a_cgroup(unit: Path) -> None:
    try:
        assert prepare_subtree(unit / "new") == unit / "new" / "jobs"
    finally:
        (unit / "new" / "jobs").rmdir()
        (unit / "new").rmdir()


@pytest.mark.parametrize("is_entered_again", [False, True])
def test_a_group_without_processes_hands_its_controllers_on(group: Path, is_entered_again: bool) -> None:
    (group / "cgroup.procs").write_text("1\n")
    jobs = prepare_subtree(group, is_entered_again=is_entered_again)
    assert (jobs, jobs.is_dir()) == (group / "jobs", True)
    assert handed_on(group, jobs) == [True, True]
    assert not (group / "server").exists()


def test_the_controllers_that_limits_need_are_handed_on_one_by_one(group: Path) -> None:
    control = group / "cgroup.subtree_control"
    os.mkfifo(control)
    reader = os.open(control, os.O_RDONLY | os.O_NONBLOCK)
    try:
        prepare_subtree(group)
        assert os.read(reader, 100) == b"+cpu+io+memory+pids"
    finally:
        os.close(reader)


def test_a_server_that_is_in_the_group_moves_to_a_leaf_so_that_controllers_can_be_handed_on(group: Path) -> None:
    (group / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    jobs = prepare_subtree(group)
    assert (group / "server" / "cgroup.procs").read_text() == "0"
    assert handed_on(group, jobs) == [True, True]


def test_a_group_that_the_next_server_is_put_into_hands_no_controllers_on(group: Path) -> None:
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    jobs = prepare_subtree(group, is_entered_again=True)
    assert (jobs, jobs.is_dir()) == (group / "jobs", True)
    assert handed_on(group, jobs) == [False, False]
    assert not (group / "server").exists()


def test_a_group_is_prepared_again_by_the_next_server(group: Path) -> None:
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert prepare_subtree(group) == prepare_subtree(group)


@pytest.mark.parametrize("attribute", ["user.delegate", "trusted.delegate"])
def test_the_group_that_was_delegated_is_found_from_within_it_and_from_a_leaf_of_it(unit: Path, attribute: str) -> None:
    for group in (unit, unit / "leaf"):
        assert asked_within(group, DELEGATED) == "None"
    try:
        os.setxattr(unit, attribute, b"1")
    except OSError as error:
        pytest.skip(f"cgroups here cannot be marked: {error.strerror}")
    for group in (unit, unit / "leaf"):
        assert asked_within(group, DELEGATED) == str(unit)


async def test_a_cgroup_that_was_configured_and_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for unusable, reason in (
        (tmp_path / "plain", r"not a cgroup v2 with cgroup\.kill \(Linux 5\.14\)"),
        (tmp_path / "no" / "such", r"not a cgroup v2 with cgroup\.kill \(Linux 5\.14\)"),
    ):
        supervisor = Supervisor(tmp_path / "state", SupervisorSettings(cgroup=unusable))
        with pytest.raises(StateError, match=f"^cgroup {unusable}: cannot be used: {reason}$"):
            await supervisor.__aenter__()
    async with Supervisor(tmp_path / "state"):
        """The directory was given back: the next server, configured otherwise, can have it."""


async def test_the_group_of_a_job_that_lost_its_shim_is_removed(unit: Path, tmp_path: Path) -> None:
    jobs = unit / "leaf" / "jobs"
    try:
        async with Supervisor(tmp_path / "state", SupervisorSettings(cgroup=unit / "leaf")) as supervisor:
            job_id = await supervisor.start("sh", ["-c", "for i in $(seq 50); do sleep 60 & done; echo all; wait"])
            await until_output(supervisor, job_id, b"all")
            shim = holder_of_lock(tmp_path / "state" / "jobs" / job_id / "spec.json")
            assert shim is not None
            assert (jobs / job_id).is_dir()
            os.kill(shim, signal.SIGKILL)
            assert (await supervisor.wait(job_id)).state is JobState.LOST
            assert not (jobs / job_id).exists()
    finally:
        for group in (*jobs.glob("*/"), jobs):
            group.rmdir()


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
    with pytest.raises(StartFailed, match=r"pids\.max: cannot be set: No such file") as failed:
        JobCgroup(tmp_path / "gone").bound((("pids.max", "5"),))
    assert failed.value.errno == errno.ENOENT


def test_f4_a_bound_that_the_kernel_does_not_take_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "pids.max").symlink_to("/dev/null")
    with pytest.raises(StartFailed, match=r"pids\.max: asked for 5, the kernel took "):
        JobCgroup(tmp_path).bound((("pids.max", "5"),))


def test_f4_a_bound_is_read_back(tmp_path: Path) -> None:
    JobCgroup(tmp_path).bound((("pids.max", "5"),))
    assert (tmp_path / "pids.max").read_text() == "5"


def test_a_group_is_killed_in_one_step(group: Path) -> None:
    JobCgroup(group).kill()
    assert (group / "cgroup.kill").read_text() == "1"


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
