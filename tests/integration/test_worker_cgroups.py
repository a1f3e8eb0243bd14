"""Limits of whole jobs, as the kernel's cgroup v2 controllers hold them; skipped where there are none."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gproc_support.cgroups import cgroup_subtree
from gproc_support.supervision import NO_RESERVE, output_of, shell, supervised, until_output

from gproc.model import JobState, Limits
from gproc.worker import Supervisor
from gproc.worker.cgroup import disk_of
from gproc.worker.limits import ENFORCED

MIB = 1024 * 1024


@pytest.fixture
def subtree() -> Iterator[Path]:
    with cgroup_subtree("test") as subtree:
        yield subtree


@pytest.fixture
async def supervisor(subtree: Path, state_dir: Path) -> AsyncIterator[Supervisor]:
    async with supervised(state_dir, replace(NO_RESERVE, cgroup=subtree)) as supervisor:
        yield supervisor


async def test_c6_f4_a_job_whose_processes_together_want_too_much_memory_is_killed_and_told_why(
    supervisor: Supervisor,
) -> None:
    hold = f"{sys.executable} -c 'held = bytearray({50 * MIB}); import time; time.sleep(30)'"
    job_id = await shell(supervisor, f"for i in 1 2 3 4; do {hold} & done; wait", limits=Limits(memory_bytes=120 * MIB))
    status = await supervisor.wait(job_id)
    assert (status.state, status.signal) == (JobState.SIGNALED, "SIGKILL")
    assert "killed by the kernel because its memory limit was reached" in status.reason
    assert status.limits == {"memory_bytes": ENFORCED}


async def test_c6_the_shim_of_a_job_that_ran_out_of_memory_and_the_next_job_are_well(supervisor: Supervisor) -> None:
    hold = f"{sys.executable} -c 'held = bytearray({50 * MIB}); import time; time.sleep(30)'"
    hungry = await shell(supervisor, f"echo before; {hold} & {hold}", limits=Limits(memory_bytes=80 * MIB))
    assert (await supervisor.wait(hungry)).state is JobState.SIGNALED
    assert await output_of(supervisor, hungry) == b"before\n"
    assert (await supervisor.wait(await shell(supervisor, "exit 3"))).exit_code == 3


async def test_f4_a_job_gets_the_share_of_a_processor_that_it_was_given(supervisor: Supervisor) -> None:
    spin = "import time; until = time.monotonic() + 3\nwhile time.monotonic() < until: pass"
    job_id = await supervisor.start(sys.executable, ["-c", spin], limits=Limits(cpu_millis=200))
    status = await supervisor.wait(job_id)
    assert status.limits == {"cpu_millis": ENFORCED}
    assert status.usage is not None
    assert 0.3 < status.usage.cpu_seconds < 1.2  # of three


async def test_f4_a_fork_bomb_ends_at_its_limit_even_as_root(supervisor: Supervisor) -> None:
    bomb = (
        "import os, signal\nborn = 0\ntry:\n  while born < 200:\n    if not os.fork(): signal.pause()\n    born += 1\n"
    )
    bomb += "except BlockingIOError: print(born, flush=True)"
    job_id = await supervisor.start(sys.executable, ["-c", bomb], limits=Limits(processes=20))
    assert await until_output(supervisor, job_id, b"\n") == b"19\n"
    status = await supervisor.wait(job_id)
    assert (status.exit_code, status.limits) == (0, {"processes": ENFORCED})


async def test_f4_a_job_writes_to_the_disk_no_faster_than_allowed(supervisor: Supervisor, tmp_path: Path) -> None:
    if not disk_of(str(tmp_path)):
        pytest.skip("temporary files are not on a disk that the kernel can name")
    began = time.monotonic()
    job_id = await supervisor.start(
        "dd",
        ["if=/dev/zero", "of=written", "bs=256k", "count=16", "oflag=direct", "status=none"],
        working_directory=str(tmp_path),
        limits=Limits(io_write_bps=2 * MIB),
    )
    status = await supervisor.wait(job_id)
    assert (status.exit_code, status.limits) == (0, {"io_write_bps": ENFORCED})
    assert time.monotonic() - began > 1.5  # 4 MiB


async def test_b4_who_hides_from_the_sweep_does_not_escape_the_cgroup(supervisor: Supervisor, subtree: Path) -> None:
    job_id = await shell(
        supervisor, "(setsid env -i sleep 300 &) ; (setsid env -i sleep 300 &) ; echo ready; sleep 300"
    )
    await until_output(supervisor, job_id)
    group = subtree / "jobs" / job_id
    assert len((group / "cgroup.procs").read_text().split()) >= 3
    assert (await supervisor.stop(job_id)).state is JobState.STOPPED
    assert not group.exists()  # the kernel removes no group that somebody is in


async def test_usage_is_that_of_the_whole_job_and_its_group_is_removed(supervisor: Supervisor, subtree: Path) -> None:
    hold = f"{sys.executable} -c 'held = bytearray({40 * MIB}); print(len(held))'"
    job_id = await shell(supervisor, f"{hold} & {hold}; wait")
    status = await supervisor.wait(job_id)
    assert status.usage is not None
    assert status.usage.max_rss_bytes is not None
    assert status.usage.max_rss_bytes > 40 * MIB
    assert not (subtree / "jobs" / job_id).exists()
