from __future__ import annotations

import asyncio
import errno
import os
import pwd
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from gproc_support.processes import living, named, open_descriptors, working_in
from gproc_support.supervision import NO_RESERVE, keeper, output_of, shell, shim_pid, supervised, until_output
from gproc_support.waiting import eventually

from gproc.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InvalidArgument,
    JobNotFound,
    QuotaExceeded,
    StartFailed,
    Unavailable,
)
from gproc.model import JobState, Stream
from gproc.model.spec import RunAs
from gproc.worker import Supervisor
from gproc.worker.tree import children


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process have not one descriptor more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 20, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def jobs_on_disk(state_dir: Path) -> list[str]:
    return [path.name for path in (state_dir / "jobs").iterdir()]


@pytest.fixture
def plain_file(tmp_path: Path) -> Path:
    """A file that nobody may execute."""
    file = tmp_path / "program"
    file.write_text("echo no interpreter is named here\n")
    return file


@pytest.fixture
def script_without_interpreter(plain_file: Path) -> Path:
    plain_file.chmod(0o755)
    return plain_file


@pytest.fixture
def roots_script(plain_file: Path) -> Path:
    plain_file.write_text("#!/bin/sh\n")
    plain_file.chmod(0o700)
    return plain_file


@pytest.mark.parametrize(
    ("command", "directory", "kind", "number"),
    [
        ("no-such-program", "", CommandNotFound, errno.ENOENT),
        ("/no/such/program", "", CommandNotFound, errno.ENOENT),
        ("{plain}", "", CommandNotExecutable, errno.EACCES),
        ("/tmp", "", CommandNotExecutable, errno.EACCES),
        ("true", "/no/such/directory", StartFailed, errno.ENOENT),
        ("true", "{plain}", StartFailed, errno.ENOTDIR),
    ],
)
async def test_a1_a_program_that_cannot_run_is_a_typed_error_and_leaves_nothing(
    supervisor: Supervisor,
    state_dir: Path,
    plain_file: Path,
    command: str,
    directory: str,
    kind: type[StartFailed],
    number: int,
) -> None:
    with pytest.raises(StartFailed) as caught:
        await supervisor.start(command.format(plain=plain_file), working_directory=directory.format(plain=plain_file))
    assert (type(caught.value), caught.value.errno) == (kind, number)
    assert supervisor.list().jobs == ()
    await eventually(lambda: not jobs_on_disk(state_dir) and not working_in(state_dir))


async def test_a1_a_script_without_an_interpreter_is_not_executable(
    supervisor: Supervisor, script_without_interpreter: Path
) -> None:
    with pytest.raises(CommandNotExecutable, match=r"needs a first line like #!/bin/sh") as caught:
        await supervisor.start(str(script_without_interpreter))
    assert caught.value.errno == errno.ENOEXEC


async def test_a1_many_failed_starts_leak_no_descriptor(supervisor: Supervisor) -> None:
    async def fail() -> None:
        with pytest.raises(CommandNotFound):
            await supervisor.start("no-such-program")

    await fail()
    before = open_descriptors()
    await asyncio.gather(*(fail() for _ in range(20)))
    await eventually(lambda: open_descriptors() <= before)


async def test_a2_arguments_longer_than_the_system_allows_name_their_field(supervisor: Supervisor) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await supervisor.start("true", ["x" * 200_000])
    assert caught.value.field == "args"
    assert supervisor.list().jobs == ()


@pytest.mark.parametrize("args", [["\1" * 100_000], ["x" * 100_000] * 15], ids=["escaped", "many"])
async def test_a2_arguments_as_long_as_the_system_allows_are_no_hindrance(state_dir: Path, args: list[str]) -> None:
    async with Supervisor(state_dir, NO_RESERVE) as supervisor:
        job_id = await supervisor.start("sh", ["-c", "sleep 1000", *args])
        assert supervisor.status(job_id).state is JobState.RUNNING
    async with supervised(state_dir) as supervisor:
        assert supervisor.status(job_id).reason == ""
        assert (await supervisor.stop(job_id)).args[2:] == tuple(args)


async def test_a3_without_descriptors_a_start_is_refused_and_the_next_one_works(
    supervisor: Supervisor, state_dir: Path
) -> None:
    await supervisor.wait(await supervisor.start("true"))
    (known,) = jobs_on_disk(state_dir)
    with no_descriptors(), pytest.raises(QuotaExceeded, match="try again later"):
        await supervisor.start("true")
    assert (await supervisor.wait(await supervisor.start("true"))).exit_code == 0
    assert len(supervisor.list().jobs) == 2
    assert set(jobs_on_disk(state_dir)) == {job.id for job in supervisor.list().jobs} >= {known}


def highest_descriptor(pid: int) -> int:
    return max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())


async def test_a3_a_spawner_that_can_fork_no_shim_in_place_of_one_that_was_killed_refuses_and_lives(
    supervisor: Supervisor,
) -> None:
    spawner = supervisor._launcher.pid
    assert spawner is not None
    # By its name: before it there may be the program of the rehearsal.
    (standby,) = await eventually(lambda: set(children(spawner)) & set(named("gproc-shim")))
    os.kill(standby, signal.SIGKILL)
    await eventually(lambda: not list(children(spawner)))
    limit = resource.prlimit(spawner, resource.RLIMIT_NOFILE)
    # Room for the descriptor that comes with the request, and for no other.
    room = highest_descriptor(spawner) + 2
    resource.prlimit(spawner, resource.RLIMIT_NOFILE, (room, limit[1]))
    with pytest.raises(QuotaExceeded, match="cannot start another process now"):
        await supervisor.start("true")
    for pid in (spawner, *children(spawner)):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    await supervisor.wait(await supervisor.start("true"))
    assert supervisor._launcher.pid == spawner


async def test_a4_a_job_that_was_recorded_and_not_started_never_runs_and_is_forgotten(state_dir: Path) -> None:
    async with keeper(state_dir) as victim:
        status = await victim.ask(start=["true"])
        await victim.kill()
    directory = state_dir / "jobs" / status.id
    await eventually(lambda: not working_in(state_dir))
    for each in directory.iterdir():
        if each.name != "spec.json":
            each.unlink()
    async with supervised(state_dir) as supervisor:
        with pytest.raises(JobNotFound):
            supervisor.status(status.id)
    assert not directory.exists()


async def test_a4_of_jobs_that_were_being_started_when_the_server_was_killed_every_living_one_is_known(
    state_dir: Path, mark: str
) -> None:
    async with keeper(state_dir) as victim:
        await victim.ask(start=["true"])
        assert victim.process.stdin is not None
        request = b'{"start": ["sleep", "1000"], "env": {"M": "%s"}}\n' % mark.encode()
        victim.process.stdin.write(request * 10)
        await eventually(lambda: len(living(mark)) >= 2)
        await victim.kill()
    await eventually(lambda: not named("gproc-spawner"))
    async with supervised(state_dir) as supervisor:
        running = {job.pid for job in supervisor.list().jobs if job.state is JobState.RUNNING}
        assert set(living(mark)) == running
        assert len(running) >= 2
    assert not living(mark)


async def test_a5_the_same_request_id_of_the_same_owner_is_the_same_job(state_dir: Path) -> None:
    async with supervised(state_dir) as supervisor:
        ids = await asyncio.gather(*(supervisor.start("true", owner="alice", request_id="r") for _ in range(5)))
        assert len(set(ids)) == 1
        assert await supervisor.start("true", owner="bob", request_id="r") not in ids
        await supervisor.wait(ids[0])
    async with supervised(state_dir) as supervisor:
        assert await supervisor.start("true", owner="alice", request_id="r") == ids[0]
        await supervisor.remove(ids[0])
        assert await supervisor.start("true", owner="alice", request_id="r") != ids[0]


async def test_a5_a_start_that_failed_may_be_tried_again_with_its_request_id(supervisor: Supervisor) -> None:
    results = await asyncio.gather(
        *(supervisor.start("no-such-program", request_id="r") for _ in range(3)), return_exceptions=True
    )
    assert {type(result) for result in results} == {CommandNotFound}
    assert supervisor.status(await supervisor.start("true", request_id="r")).command == "true"


async def test_a_start_that_is_cancelled_goes_on(supervisor: Supervisor) -> None:
    starting = asyncio.ensure_future(supervisor.start("true", request_id="r"))
    await asyncio.sleep(0)
    starting.cancel()
    job_id = await supervisor.start("true", request_id="r")
    assert (await supervisor.wait(job_id)).exit_code == 0
    assert len(supervisor.list().jobs) == 1


@contextmanager
def odd_signals() -> Iterator[None]:
    """Block and ignore signals in this process, as a careless program that embeds a supervisor may."""
    ignored = (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


async def test_a6_a_job_has_no_signal_blocked_ignored_or_caught_whatever_the_server_has(state_dir: Path) -> None:
    with odd_signals():
        async with supervised(state_dir) as supervisor:
            status = (await output_of(supervisor, await supervisor.start("cat", ["/proc/self/status"]))).decode()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    # Two that the C library keeps for its threads it ignores in all that it spawns; they are no program's business.
    internal = 1 << 31 | 1 << 32
    assert [int(masks[name], 16) & ~internal for name in ("SigBlk", "SigIgn", "SigCgt", "SigPnd")] == [0, 0, 0, 0]


async def test_a6_a_job_has_descriptors_0_1_and_2_and_no_other(supervisor: Supervisor) -> None:
    leaky = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        job_id = await shell(supervisor, "exec ls -l /proc/self/fd")
        listing = (await output_of(supervisor, job_id)).decode()
    finally:
        os.close(leaky)
    targets = dict(line.split()[8::2] for line in listing.splitlines() if " -> " in line)
    # The fourth is the directory that ls itself is reading.
    assert targets.pop("3").endswith("/fd")
    assert targets.pop("0") == "/dev/null"
    assert set(targets) == {"1", "2"}
    assert all(target.startswith("pipe:") for target in targets.values())


async def test_a6_a_job_leads_its_own_session_and_group_and_is_not_its_shims(
    supervisor: Supervisor, state_dir: Path
) -> None:
    job_id = await supervisor.start("sleep", ["1000"])
    pid = supervisor.status(job_id).pid
    assert pid is not None
    assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)
    assert os.getsid(shim_pid(state_dir, job_id)) != os.getsid(0)


async def test_a6_mask_and_directory_are_as_documented(supervisor: Supervisor, tmp_path: Path) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    before = os.umask(0o077)
    try:
        at_home = await output_of(supervisor, await shell(supervisor, "umask; pwd"))
    finally:
        os.umask(before)
    there = await output_of(supervisor, await shell(supervisor, "pwd", working_directory=str(tmp_path)))
    assert at_home.decode().split() == ["0022", home]
    assert there.decode().strip() == str(tmp_path)


async def test_a7_a_job_sees_nothing_of_the_servers_environment(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    async with supervised(state_dir) as supervisor:
        job_id = await supervisor.start("env", env={"A": "1\n2", "GPROC_JOB": "another"})
        output = await output_of(supervisor, job_id)
    assert output.decode() == (
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"HOME={pwd.getpwuid(os.getuid()).pw_dir}\nLANG=C.UTF-8\nA=1\n2\nGPROC_JOB={job_id}\n"
    )


async def test_a7_a_jobs_environment_never_reaches_its_shim(supervisor: Supervisor, state_dir: Path) -> None:
    job_id = await shell(supervisor, "echo ready; exec sleep 1000", env={"PYTHONPATH": "/evil", "LD_PRELOAD": ""})
    await until_output(supervisor, job_id)
    shim = Path(f"/proc/{shim_pid(state_dir, job_id)}")
    assert b"/evil" not in (shim / "environ").read_bytes()
    assert b"\0-I\0" in (shim / "cmdline").read_bytes()


async def test_a8_all_output_and_the_code_of_a_job_that_ends_at_once_are_kept(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    data = os.urandom(65536)
    (tmp_path / "data").write_bytes(data)
    arguments = [f"if={tmp_path}/data", "bs=65536", "count=1", "status=none"]
    jobs = await asyncio.gather(*(supervisor.start("dd", arguments) for _ in range(20)))
    for job_id in jobs:
        assert await output_of(supervisor, job_id) == data
        assert (await supervisor.wait(job_id)).exit_code == 0


async def test_a9_many_starts_at_once_are_as_many_jobs(supervisor: Supervisor) -> None:
    jobs = await asyncio.gather(*(shell(supervisor, f"echo {number}") for number in range(50)))
    assert len(set(jobs)) == 50
    for number, job_id in enumerate(jobs):
        assert await output_of(supervisor, job_id) == b"%d\n" % number


async def test_arguments_arrive_as_they_are(supervisor: Supervisor) -> None:
    odd = ["", " ", "--help", "*", "$HOME", "a\nb", "é\U0001f600"]
    script = "import sys; print(sys.argv[1:], end='')"
    job_id = await supervisor.start(sys.executable, ["-X", "utf8", "-c", script, *odd])
    assert (await output_of(supervisor, job_id, Stream.STDOUT)).decode() == repr(odd)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
async def test_a1_a_program_that_a_user_may_not_run_is_an_error(supervisor: Supervisor, roots_script: Path) -> None:
    nobody = RunAs(user="nobody", uid=65534, gid=65534, groups=(), home="/")
    with pytest.raises(CommandNotExecutable):
        await supervisor.start(str(roots_script), run_as=nobody)
    job_id = await supervisor.start("id", ["-u"], run_as=nobody)
    assert await output_of(supervisor, job_id) == b"65534\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
async def test_a6_a_directory_that_the_jobs_user_may_not_enter_is_told_as_such(
    supervisor: Supervisor, state_dir: Path
) -> None:
    nobody = RunAs(user="nobody", uid=65534, gid=65534, groups=(), home="/")
    with pytest.raises(StartFailed, match="Permission denied; give one that the job's user may enter"):
        await supervisor.start("true", working_directory=str(state_dir), run_as=nobody)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
async def test_a_program_of_another_user_may_open_its_output_by_name(supervisor: Supervisor) -> None:
    nobody = RunAs(user="nobody", uid=65534, gid=65534, groups=(), home="/")
    script = "echo out > /dev/stdout; echo err > /dev/stderr"
    job_id = await supervisor.start("sh", ["-c", script], run_as=nobody)
    assert await output_of(supervisor, job_id) == b"out\nerr\n"


async def test_a_supervisor_that_is_closing_starts_nothing(state_dir: Path) -> None:
    async with supervised(state_dir) as supervisor:
        pass
    with pytest.raises(Unavailable, match="closing"):
        await supervisor.start("true")
