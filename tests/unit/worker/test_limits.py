from __future__ import annotations

import resource
from dataclasses import fields

from gproc.model import Limits
from gproc.worker.limits import ENFORCED, plan_limits

EVERYTHING = Limits(
    memory_bytes=2**30,
    processes=10,
    open_files=20,
    cpu_seconds=30,
    file_size_bytes=40,
    core_bytes=50,
    output_bytes=60,
    cpu_millis=1500,
    io_read_bps=1000,
    io_write_bps=2000,
)
BOUNDS = {field.name for field in fields(Limits)} - {"output_policy"}
NONE: frozenset[str] = frozenset()
ALL = frozenset({"memory", "pids", "cpu", "io"})


def test_f4_without_limits_a_job_only_leaves_no_core() -> None:
    plan = plan_limits(Limits(), controllers=ALL, is_root=False, disk="8:0")
    assert plan.rlimits == ((resource.RLIMIT_CORE, 0),)
    assert (plan.cgroup_files, plan.report) == ((), {})


def test_f4_each_limit_is_reported_as_it_is_held_without_cgroups() -> None:
    plan = plan_limits(EVERYTHING, controllers=NONE, is_root=False)
    assert plan.cgroup_files == ()
    assert dict(plan.rlimits) == {
        resource.RLIMIT_AS: 2**30,
        resource.RLIMIT_NPROC: 10,
        resource.RLIMIT_NOFILE: 20,
        resource.RLIMIT_CPU: 30,
        resource.RLIMIT_FSIZE: 40,
        resource.RLIMIT_CORE: 50,
    }
    assert set(plan.report) == BOUNDS
    assert plan.report["cpu_millis"].startswith("unavailable: ")
    assert plan.report["memory_bytes"].startswith("enforced: for each process of the job")


def test_f4_root_is_told_that_the_number_of_processes_is_not_held() -> None:
    assert (
        plan_limits(Limits(processes=5), controllers=NONE, is_root=True).report["processes"].startswith("unavailable")
    )


def test_f4_with_controllers_the_job_is_held_as_a_whole() -> None:
    plan = plan_limits(EVERYTHING, controllers=ALL, is_root=True, disk="8:0")
    assert dict(plan.cgroup_files) == {
        "memory.max": str(2**30),
        "memory.oom.group": "1",
        "cpu.max": "150000 100000",
        "pids.max": "10",
        "io.max": "8:0 rbps=1000 wbps=2000",
    }
    assert resource.RLIMIT_NPROC not in dict(plan.rlimits)
    assert plan.report == dict.fromkeys(BOUNDS, ENFORCED)


def test_f4_only_the_direction_that_was_asked_for_is_bounded() -> None:
    plan = plan_limits(Limits(io_write_bps=5), controllers=ALL, is_root=True, disk="259:0")
    assert (plan.cgroup_files, plan.report) == ((("io.max", "259:0 wbps=5"),), {"io_write_bps": ENFORCED})


def test_f4_a_directory_that_is_on_no_disk_is_told() -> None:
    plan = plan_limits(Limits(io_read_bps=5), controllers=ALL, is_root=True)
    assert plan.cgroup_files == ()
    assert plan.report["io_read_bps"].startswith("unavailable: the job's directory is not on a disk")
