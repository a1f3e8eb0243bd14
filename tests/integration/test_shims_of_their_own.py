"""Shims that no spawner made: one in a time that jumps, one that speaks as the version before did."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gproc_support.supervision import output_of, supervised
from gproc_support.waiting import eventually

from gproc.model import JobRequest, JobState, JobStatus, StopPolicy, make_job_id
from gproc.model.document import spec_to_document, status_from_document, status_to_document
from gproc.model.spec import JobSpec
from gproc.store.directory import opened
from gproc.store.records import read_record, write_record
from gproc.worker.kernel import boot_id
from gproc.worker.protocol import VERSION

JUMPY = """
import socket, sys, threading
from datetime import timedelta
from gproc.testing.faults import shifted_clock
from gproc.worker.shim import main
with shifted_clock() as clock:
    for number, days in enumerate((1, -2, 3, -3)):
        threading.Timer(0.2 + 0.3 * number, clock.jump, (timedelta(days=days),)).start()
    main.detach()
    main.run_shim(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
"""

OLDER = """
import fcntl, json, os, socket, sys
os.chdir(sys.argv[1])
fcntl.flock(os.open("spec.json", os.O_RDONLY), fcntl.LOCK_EX)
listener = socket.socket(socket.AF_UNIX)
listener.bind("shim.sock")
listener.listen()
print(flush=True)
status = json.loads(sys.argv[3])
server, _ = listener.accept()
stream = server.makefile("rw")

def say(message):
    stream.write(json.dumps(message) + chr(10))
    stream.flush()

say({"hello": {"version": int(sys.argv[4]), "job": status["id"], "nonce": sys.argv[2]}})
say({"status": status})
for line in stream:
    asked = json.loads(line)
    say({"answer": asked["seq"], "errno": 0, "message": ""})
    if asked["ask"] == "stop":
        say({"status": status | {"state": "stopped", "signal": asked["signal"], "stopped_by": asked["by"]}})
        break
stream.read()
"""


def accepted(state_dir: Path, request: JobRequest) -> tuple[JobSpec, Path]:
    """Record a job as a server does before it has a shim started."""
    chance = int.from_bytes(os.urandom(16), "big")
    job_id = make_job_id(milliseconds=int(time.time() * 1000), chance=chance)
    spec = JobSpec(id=job_id, owner="alice", request=request, created_at=datetime.now(UTC), nonce="secret")
    directory = state_dir / "jobs" / job_id
    directory.mkdir(mode=0o700, parents=True)
    for path in (state_dir, state_dir / "jobs"):
        path.chmod(0o700)
    with opened(directory) as fd:
        write_record("spec.json", spec_to_document(spec), dir_fd=fd)
    return spec, directory


def final(directory: Path) -> JobStatus | None:
    """Return the status that is written, once it is the last one."""
    with suppress(FileNotFoundError), opened(directory) as fd:
        status = status_from_document(read_record("status.json", dir_fd=fd))
        return status if status.is_final else None
    return None


async def test_e12_a_shim_keeps_its_times_and_its_patience_while_the_clock_jumps_by_days(tmp_path: Path) -> None:
    stop = StopPolicy(grace=timedelta(seconds=0.5))
    script = "trap '' TERM; while :; do echo tick; sleep 0.05; done"
    request = JobRequest(command="sh", args=("-c", script), timeout=timedelta(seconds=1), stop=stop)
    spec, directory = accepted(tmp_path / "state", request)
    ours, theirs = socket.socketpair()
    with ours:
        began = time.monotonic()
        with theirs:
            command = (sys.executable, "-c", JUMPY, str(directory), str(theirs.fileno()))
            shim = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()])
        try:
            status = await eventually(lambda: final(directory), within=30)
            seconds = time.monotonic() - began
        finally:
            ours.close()  # nobody is there any more who would have another job for it
            await asyncio.wait_for(shim.wait(), 10)
    assert status is not None
    assert (status.state, status.signal) == (JobState.TIMED_OUT, "SIGKILL")
    assert 1.5 <= seconds < 10
    assert status.started_at is not None
    assert status.ended_at is not None
    assert status.started_at <= status.ended_at
    async with supervised(tmp_path / "state") as supervisor:
        assert supervisor.status(spec.id) == status
        assert set((await output_of(supervisor, spec.id)).splitlines()) == {b"tick"}


async def test_e10_a_shim_of_the_version_before_is_found_again_and_stops_its_job(tmp_path: Path) -> None:
    spec, directory = accepted(tmp_path / "state", JobRequest(command="sleep", args=("1000",)))
    (directory / "output").touch()
    (directory / "index").touch()
    running = JobStatus(id=spec.id, owner="alice", state=JobState.RUNNING, command="sleep", args=("1000",), pid=1 << 30)
    identity = {"boot_id": boot_id(), "pid": os.getpid(), "start_ticks": 1, "nonce": spec.nonce}
    document = status_to_document(running)
    with opened(directory) as fd:
        write_record("status.json", document | {"shim": identity}, dir_fd=fd)
    shim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OLDER, str(directory), spec.nonce, json.dumps(document), str(VERSION - 1)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert shim.stdout is not None
        await shim.stdout.readline()
        async with asyncio.timeout(20), supervised(tmp_path / "state") as supervisor:
            assert supervisor.status(spec.id).state is JobState.RUNNING
            status = await supervisor.stop(spec.id, owner="alice", grace=timedelta(seconds=1))
        assert (status.state, status.signal, status.stopped_by) == (JobState.STOPPED, "SIGTERM", "alice")
        assert await shim.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            shim.kill()
        await shim.wait()
