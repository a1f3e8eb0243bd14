from __future__ import annotations

import resource
import sys

import pytest
from gproc_support.supervision import output_of, shell

from gproc.model import JobState, Limits
from gproc.worker import Supervisor
from gproc.worker.limits import ENFORCED


async def test_f4_without_limits_a_job_has_those_of_the_server_and_leaves_no_core(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "ulimit -c; ulimit -n")
    core, files = (await output_of(supervisor, job_id)).split()
    assert core == b"0"
    assert int(files) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize(
    ("limits", "question", "answer"),
    [
        (Limits(open_files=50), "ulimit -n; ulimit -H -n", b"50\n50\n"),
        (Limits(cpu_seconds=7), "ulimit -t", b"7\n"),
        (Limits(file_size_bytes=1024 * 1024), "ulimit -f", b"2048\n"),
        (Limits(memory_bytes=2**30), "ulimit -v", b"1048576\n"),
    ],
)
async def test_f4_a_limit_holds_and_is_reported(
    supervisor: Supervisor, limits: Limits, question: str, answer: bytes
) -> None:
    job_id = await shell(supervisor, question, limits=limits)
    assert await output_of(supervisor, job_id) == answer
    (name,) = supervisor.status(job_id).limits
    assert supervisor.status(job_id).limits[name].startswith(ENFORCED)


async def test_f4_a_file_larger_than_allowed_is_not_written_and_output_is_no_file(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "head -c 100000 /dev/zero", limits=Limits(file_size_bytes=1000))
    assert await output_of(supervisor, job_id) == bytes(100_000)
    status = await supervisor.wait(
        await shell(supervisor, "head -c 100000 /dev/zero > too-large", limits=Limits(file_size_bytes=1000))
    )
    assert (status.state, status.exit_code) != (JobState.EXITED, 0)


async def test_f4_a_job_that_wants_more_memory_than_allowed_does_not_get_it(supervisor: Supervisor) -> None:
    job_id = await supervisor.start(
        sys.executable, ["-c", "bytearray(1 << 31)"], limits=Limits(memory_bytes=512 * 1024 * 1024)
    )
    status = await supervisor.wait(job_id)
    assert (status.state, status.exit_code) == (JobState.EXITED, 1)
    assert b"MemoryError" in await output_of(supervisor, job_id)


async def test_f4_a_job_that_used_its_processor_time_is_killed(supervisor: Supervisor) -> None:
    status = await supervisor.wait(await shell(supervisor, "while :; do :; done", limits=Limits(cpu_seconds=1)))
    assert (status.state, status.signal) == (JobState.SIGNALED, "SIGKILL")
