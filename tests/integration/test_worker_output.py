from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from gproc_support.processes import living, open_descriptors
from gproc_support.supervision import NO_RESERVE, output_of, shell, shim_pid, supervised, until_output
from gproc_support.waiting import eventually, soon

from gproc.errors import InternalError, JobNotFound, OffsetOutOfRange, QuotaExceeded
from gproc.model import Chunk, End, Gap, JobState, Limits, OutputEvent, OutputPolicy, OutputRange, Stream
from gproc.store.retention import Retention
from gproc.worker import Supervisor, SupervisorSettings

MIB = 1024 * 1024


async def events_of(supervisor: Supervisor, job_id: str, wanted: OutputRange | None = None) -> list[OutputEvent]:
    async with asyncio.timeout(20), aclosing(supervisor.output_events(job_id, wanted)) as events:
        return [event async for event in events]


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    """Bytes that tell their place, in the file `data`."""
    found = b"".join(b"%08d" % number for number in range(MIB // 2))
    (tmp_path / "data").write_bytes(found)
    return found


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A named pipe: a job that reads from it goes on when a line is written to it."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


async def test_d1_a_finished_jobs_output_is_its_file_and_ends_with_its_status(
    supervisor: Supervisor, state_dir: Path, tmp_path: Path, data: bytes
) -> None:
    job_id = await supervisor.start("cat", [str(tmp_path / "data")])
    status = await supervisor.wait(job_id)
    events = await events_of(supervisor, job_id)
    assert [event for event in events if isinstance(event, End)] == [events[-1]] == [End(status)]
    assert b"".join(bytes(event.data) for event in events if isinstance(event, Chunk)) == data
    assert (state_dir / "jobs" / job_id / "output").read_bytes() == data
    assert await supervisor.get_output(job_id) == data


async def test_d2_readers_who_join_anywhere_at_any_time_get_what_follows(
    supervisor: Supervisor, tmp_path: Path, data: bytes
) -> None:
    job_id = await supervisor.start("cat", [str(tmp_path / "data")])

    async def join(number: int) -> None:
        begin = number * len(data) // 20
        await asyncio.sleep(number / 1000)  # spread over the time that the job writes
        found = await output_of(supervisor, job_id, offset=begin)
        assert sha256(found).digest() == sha256(data[begin:]).digest()

    await asyncio.gather(*(join(number) for number in range(20)))


async def test_d3_a_thousand_joins_during_a_flood_miss_nothing(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done")
    expected = b"".join(b"%d\n" % number for number in range(1, 20_001))
    found = b""
    joins = 0
    while joins < 1000 or len(found) < len(expected):
        joins += 1
        async with aclosing(supervisor.watch_output(job_id, OutputRange(offset=len(found)))) as pieces:
            async for piece in pieces:
                assert isinstance(piece, Chunk)
                assert piece.offset == len(found)
                found += bytes(piece.data)[: 1 + joins % 1000]
                break
    assert found == expected


async def test_d4_any_bytes_pass_unchanged(supervisor: Supervisor, tmp_path: Path) -> None:
    data = os.urandom(MIB) + bytes(MIB) + bytes(range(256)) + b"\xff\xfe\r\n\0"
    (tmp_path / "any").write_bytes(data)
    job_id = await shell(supervisor, f"cat '{tmp_path}/any'; cat '{tmp_path}/any' >&2")
    assert await output_of(supervisor, job_id, Stream.STDOUT) == data
    assert await output_of(supervisor, job_id, Stream.STDERR) == data


async def test_d4_a_job_that_writes_in_packets_loses_none_and_none_comes_twice(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "seq -f %07g 64000 | dd bs=512 iflag=fullblock oflag=direct status=none")
    assert await output_of(supervisor, job_id) == b"".join(b"%07d\n" % number for number in range(1, 64_001))


async def test_d4_a_job_that_reads_from_its_own_output_harms_nobody(supervisor: Supervisor) -> None:
    thief = "cat /dev/stderr > /dev/null & head -c 30000000 /dev/zero >&2; kill $!; echo end"
    job_id = await shell(supervisor, thief)
    status = await asyncio.wait_for(supervisor.wait(job_id), 15)
    assert (status.state, status.exit_code) == (JobState.EXITED, 0)
    assert (await output_of(supervisor, job_id)).endswith(b"end\n")


async def test_d5_a_reader_that_does_not_read_holds_up_nobody_and_misses_nothing(
    supervisor: Supervisor, tmp_path: Path, data: bytes
) -> None:
    job_id = await shell(supervisor, f"echo ready; cat '{tmp_path}/data'")
    async with aclosing(supervisor.watch_output(job_id)) as slow:
        first = await anext(slow)
        assert isinstance(first, Chunk)
        assert (await asyncio.wait_for(supervisor.wait(job_id), 10)).exit_code == 0
        assert await output_of(supervisor, job_id) == b"ready\n" + data
        rest = [piece async for piece in slow]
    pieces = b"".join(bytes(piece.data) for piece in (first, *rest) if isinstance(piece, Chunk))
    assert pieces == b"ready\n" + data


async def test_d6_a_job_that_writes_more_than_it_may_keep_goes_on_and_the_gap_is_exact(
    supervisor: Supervisor, tmp_path: Path, data: bytes
) -> None:
    limits = Limits(output_bytes=100_000, output_policy=OutputPolicy.DROP)
    job_id = await supervisor.start("cat", [str(tmp_path / "data")], limits=limits)
    status = await asyncio.wait_for(supervisor.wait(job_id), 10)
    assert (status.state, status.exit_code) == (JobState.EXITED, 0)
    assert (status.output_bytes, status.dropped_bytes) == (len(data), len(data) - 100_000)
    *_, gap, end = await events_of(supervisor, job_id)
    assert gap == Gap(100_000, len(data) - 100_000)
    assert end == End(status)
    assert await supervisor.get_output(job_id) == data[:100_000]


@pytest.mark.parametrize(
    ("policy", "line", "state"),
    [
        (OutputPolicy.DROP, "echo x", JobState.EXITED),
        (OutputPolicy.STOP, "echo x; sleep 1000", JobState.STOPPED),
        (OutputPolicy.STOP, "true", JobState.EXITED),
    ],
)
async def test_d6_where_nothing_may_be_kept_the_first_byte_is_a_gap_or_the_end(
    state_dir: Path, policy: OutputPolicy, line: str, state: JobState
) -> None:
    settings = SupervisorSettings(reserve_bytes=0, output_bytes=0, output_policy=policy)
    async with supervised(state_dir, settings) as supervisor:
        status = await asyncio.wait_for(supervisor.wait(await shell(supervisor, line)), 10)
        *gaps, _end = await events_of(supervisor, status.id)
    size = 2 if "echo" in line else 0
    assert (status.state, status.output_bytes, status.dropped_bytes) == (state, size, size)
    assert gaps == ([Gap(0, 2)] if size else [])


async def test_d6_a_job_that_writes_more_than_it_may_keep_is_stopped_if_that_is_the_policy(
    state_dir: Path, mark: str
) -> None:
    settings = SupervisorSettings(reserve_bytes=0, output_bytes=100_000, output_policy=OutputPolicy.STOP)
    async with supervised(state_dir, settings) as supervisor:
        job_id = await supervisor.start("yes", env={"M": mark}, limits=Limits(output_bytes=10**9))
        status = await asyncio.wait_for(supervisor.wait(job_id), 10)
        assert (status.state, status.signal, status.stopped_by) == (JobState.STOPPED, "SIGTERM", "")
        assert status.reason == "stopped because it wrote more than 100000 bytes of output"
        assert status.output_bytes - status.dropped_bytes == 100_000
        assert await supervisor.get_output(job_id) == b"y\n" * 50_000
        assert not living(mark)


async def test_d6_an_owner_who_keeps_too_much_starts_nothing_more_and_others_do(state_dir: Path) -> None:
    settings = SupervisorSettings(reserve_bytes=0, owner_output_bytes=1000)
    async with supervised(state_dir, settings) as supervisor:
        job_id = await supervisor.start("head", ["-c", "1000", "/dev/zero"], owner="alice")
        await supervisor.wait(job_id)
        with pytest.raises(QuotaExceeded, match=r"alice: 1000 bytes .* `gproc remove`"):
            await supervisor.start("true", owner="alice")
        await supervisor.wait(await supervisor.start("true", owner="bob"))
        await supervisor.remove(job_id, owner="alice")
        await supervisor.wait(await supervisor.start("true", owner="alice"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 8 MiB of room."""
    directory = tmp_path / "disk"
    directory.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", directory], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    yield directory
    # A shim that has said its last word may still be leaving.
    soon(lambda: subprocess.run(["umount", directory], check=False, capture_output=True).returncode == 0)


def fill(disk: Path) -> None:
    """Leave no room."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


async def test_d7_on_a_full_disk_a_job_goes_on_and_when_there_is_room_again_so_does_its_output(
    small_disk: Path, tmp_path: Path, data: bytes, gate: Path
) -> None:
    (small_disk / "filler").write_bytes(bytes(7 * MIB))
    async with supervised(small_disk / "state") as supervisor:
        script = f"cat '{tmp_path}/data'; echo full > '{tmp_path}/done'; read line < '{gate}'; echo back"
        begun = time.monotonic()
        job_id = await shell(supervisor, script)
        await eventually((tmp_path / "done").exists, within=5)
        assert time.monotonic() - begun < 5
        await eventually(lambda: supervisor.status(job_id).output_bytes == len(data))
        (small_disk / "filler").unlink()
        # Longer than the writer waits before it tries a full disk again.
        await asyncio.sleep(0.2)
        await asyncio.to_thread(gate.write_text, "go\n")
        status = await asyncio.wait_for(supervisor.wait(job_id), 10)
        assert (status.state, status.exit_code) == (JobState.EXITED, 0)
        chunks = [event for event in await events_of(supervisor, job_id) if not isinstance(event, End)]
        gap = next(event for event in chunks if isinstance(event, Gap))
        assert [event for event in chunks if isinstance(event, Gap)] == [gap]
        assert status.dropped_bytes == gap.bytes
        assert gap.offset + gap.bytes == len(data)
        assert status.output_bytes == len(data) + 5
        assert await supervisor.get_output(job_id) == data[: gap.offset] + b"back\n"


async def test_d7_a_job_for_whose_first_record_there_is_no_room_is_not_begun_and_undone(
    small_disk: Path, tmp_path: Path, gate: Path
) -> None:
    async with supervised(small_disk / "state") as supervisor:
        fill(small_disk)
        os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 4096)  # for what is to be run
        job_id = await shell(supervisor, f"echo ran >> '{tmp_path}/ran'; read line < '{gate}'; exit 3")
        assert supervisor.status(job_id).state is JobState.RUNNING
        assert not (small_disk / "state" / "jobs" / job_id / "status.json").exists()
        (small_disk / "filler").unlink()
        await asyncio.to_thread(gate.write_text, "go\n")
        await asyncio.wait_for(supervisor.wait(job_id), 10)
    assert (tmp_path / "ran").read_text() == "ran\n"
    async with supervised(small_disk / "state") as supervisor:
        assert supervisor.status(job_id).exit_code == 3


async def test_d7_a_final_status_for_which_there_is_no_room_is_told_by_the_next_supervisor_too(
    small_disk: Path, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gproc.worker.attachment._LOST_AFTER_SECONDS", 0.2)
    async with Supervisor(small_disk / "state", NO_RESERVE) as supervisor:
        # Its record is so long that two of them do not go into one block.
        job_id = await supervisor.start("sh", ["-c", f"read line < '{gate}'; exit 3", "x" * 3000])
        fill(small_disk)
        await asyncio.to_thread(gate.write_text, "go\n")
        ended = await asyncio.wait_for(supervisor.wait(job_id), 10)
    async with supervised(small_disk / "state") as supervisor:
        await eventually(lambda: supervisor.status(job_id).is_final)
        await asyncio.sleep(0.5)
        told = supervisor.status(job_id)
        (small_disk / "filler").unlink()
    assert told == ended


async def test_d7_a_job_that_cannot_be_recorded_as_lost_for_want_of_room_says_so_and_does_not_fill_the_log(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gproc.worker.attachment._LOST_AFTER_SECONDS", 0.5)
    async with supervised(small_disk / "state") as supervisor:
        job_id = await shell(supervisor, "exec sleep 1000")
        fill(small_disk)
        os.kill(shim_pid(small_disk / "state", job_id), signal.SIGKILL)
        await eventually(lambda: "No space left on device" in supervisor.status(job_id).reason, within=5)
        assert supervisor.status(job_id).state is JobState.RUNNING
        assert len(caplog.records) < 3
        (small_disk / "filler").unlink()
        assert (await asyncio.wait_for(supervisor.wait(job_id), 10)).state is JobState.LOST


async def test_d7_the_reserve_of_the_disk_is_left_to_others(small_disk: Path) -> None:
    async with supervised(small_disk / "state", SupervisorSettings(reserve_bytes=4 * MIB)) as supervisor:
        status = await supervisor.wait(await supervisor.start("head", ["-c", str(16 * MIB), "/dev/zero"]))
    assert (status.exit_code, status.output_bytes) == (0, 16 * MIB)
    # The last piece that is written may be as large as a pipe.
    assert 3 * MIB < status.output_bytes - status.dropped_bytes <= 5 * MIB


async def test_d8_output_that_is_deleted_under_a_running_job_reads_as_a_gap(
    supervisor: Supervisor, state_dir: Path, gate: Path
) -> None:
    job_id = await shell(supervisor, f"echo ready; read line < '{gate}'; echo more")
    await until_output(supervisor, job_id)
    (state_dir / "jobs" / job_id / "output").unlink()
    await asyncio.to_thread(gate.write_text, "go\n")
    assert (await asyncio.wait_for(supervisor.wait(job_id), 10)).exit_code == 0
    *gaps, end = await events_of(supervisor, job_id)
    assert all(isinstance(gap, Gap) for gap in gaps)
    assert sum(gap.bytes for gap in gaps if isinstance(gap, Gap)) == 11
    assert end == End(supervisor.status(job_id))


@pytest.mark.parametrize(
    ("put", "problem"),
    [(lambda output: output.symlink_to("/etc/passwd"), "cannot be opened"), (os.mkfifo, "cannot be read")],
    ids=["link", "named pipe"],
)
async def test_d8_what_is_in_the_place_of_the_output_is_an_error_not_followed_and_holds_up_nobody(
    supervisor: Supervisor, state_dir: Path, put: Callable[[Path], None], problem: str
) -> None:
    job_id = await shell(supervisor, "echo x")
    await supervisor.wait(job_id)
    output = state_dir / "jobs" / job_id / "output"
    output.unlink()
    put(output)
    with pytest.raises(InternalError, match=problem):
        await supervisor.get_output(job_id)
    assert (await supervisor.wait(await supervisor.start("true"))).exit_code == 0


@pytest.mark.parametrize(("name", "wanted"), [("index", OutputRange()), ("output", OutputRange(tail_lines=1))])
async def test_d8_a_disk_that_fails_where_a_reader_is_to_begin_is_told_like_one_that_fails_later(
    supervisor: Supervisor, state_dir: Path, name: str, wanted: OutputRange
) -> None:
    job_id = await shell(supervisor, "echo x")
    await supervisor.wait(job_id)
    file = state_dir / "jobs" / job_id / name
    file.unlink()
    file.mkdir()  # it can be opened, and not be read
    with pytest.raises(InternalError, match="cannot be read"):
        await anext(supervisor.watch_output(job_id, wanted))


async def test_d9_readers_who_leave_are_forgotten_at_once(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "echo ready; exec sleep 1000")
    await until_output(supervisor, job_id)
    before = open_descriptors()
    readers = [asyncio.ensure_future(output_of(supervisor, job_id)) for _ in range(50)]
    await eventually(lambda: open_descriptors() >= before + 100)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers, timeout=5)
    assert open_descriptors() == before
    assert supervisor._registry.get(job_id, None).changes._waiters == []


async def test_d10_what_a_job_writes_in_turns_arrives_in_turns(supervisor: Supervisor, gate: Path) -> None:
    # Opened once by each side: who opens a pipe again may meet the writer of before, and its end.
    script = f"exec 3< '{gate}'; for i in 1 2 3; do echo out$i; read line <&3; echo err$i >&2; read line <&3; done"
    job_id = await shell(supervisor, script)
    found: list[tuple[Stream, bytes]] = []
    async with asyncio.timeout(20), aclosing(supervisor.watch_output(job_id)) as pieces:
        with await asyncio.to_thread(gate.open, "wb", buffering=0) as gatekeeper:
            async for piece in pieces:
                assert isinstance(piece, Chunk)
                found.append((piece.stream, bytes(piece.data)))
                gatekeeper.write(b"go\n")
    assert found == [
        (stream, b"%s%d\n" % (word, number))
        for number in (1, 2, 3)
        for stream, word in ((Stream.STDOUT, b"out"), (Stream.STDERR, b"err"))
    ]


async def test_d11_a_job_that_is_removed_while_it_is_read_is_read_to_its_end(
    supervisor: Supervisor, state_dir: Path, tmp_path: Path, data: bytes
) -> None:
    job_id = await supervisor.start("cat", [str(tmp_path / "data")])
    await supervisor.wait(job_id)
    async with aclosing(supervisor.output_events(job_id)) as events:
        found = [await anext(events)]
        await supervisor.remove(job_id)
        found += [event async for event in events]
    assert b"".join(bytes(event.data) for event in found if isinstance(event, Chunk)) == data
    assert isinstance(found[-1], End)
    assert list((state_dir / "jobs").iterdir()) == []
    with pytest.raises(JobNotFound):
        await supervisor.get_output(job_id)
    with pytest.raises(JobNotFound):
        await supervisor.remove(job_id)


async def test_d11_jobs_beyond_what_is_kept_are_forgotten(state_dir: Path) -> None:
    async with supervised(state_dir) as supervisor:
        jobs = [await supervisor.start("true") for _ in range(3)]
        await asyncio.gather(*map(supervisor.wait, jobs))
    async with supervised(state_dir, SupervisorSettings(retention=Retention(count=1))) as supervisor:
        await eventually(lambda: [job.id for job in supervisor.list().jobs] == jobs[-1:])
        await eventually(lambda: [path.name for path in (state_dir / "jobs").iterdir()] == jobs[-1:])


async def test_d12_an_index_that_was_torn_when_the_machine_crashed_hides_no_byte(
    supervisor: Supervisor, state_dir: Path
) -> None:
    job_id = await shell(supervisor, "echo out; sleep 0.05; echo err >&2")
    await supervisor.wait(job_id)
    os.truncate(state_dir / "jobs" / job_id / "index", 24 + 5)
    assert await output_of(supervisor, job_id) == b"out\nerr\n"


async def test_an_offset_beyond_the_end_is_refused_once_a_job_is_finished(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "echo x")
    await supervisor.wait(job_id)
    with pytest.raises(OffsetOutOfRange, match="wrote 2 bytes"):
        await events_of(supervisor, job_id, OutputRange(offset=3))
    assert await events_of(supervisor, job_id, OutputRange(offset=2)) == [End(supervisor.status(job_id))]


async def test_a_reader_who_does_not_follow_gets_what_there_is_and_the_status_of_now(supervisor: Supervisor) -> None:
    job_id = await shell(supervisor, "echo ready; exec sleep 1000")
    await until_output(supervisor, job_id)
    chunk, end = await events_of(supervisor, job_id, OutputRange(follow=False))
    assert isinstance(chunk, Chunk)
    assert bytes(chunk.data) == b"ready\n"
    assert isinstance(end, End)
    assert (end.status.state, end.status.output_bytes) == (JobState.RUNNING, 6)


async def test_many_readers_of_a_silent_job_end_with_it(supervisor: Supervisor) -> None:
    job_id = await supervisor.start("sleep", ["1000"])
    readers = [asyncio.ensure_future(events_of(supervisor, job_id)) for _ in range(20)]
    await asyncio.sleep(0)
    status = await supervisor.stop(job_id)
    assert await asyncio.gather(*readers) == [[End(status)]] * 20


def test_the_default_reserve_is_256_mib() -> None:
    assert SupervisorSettings().reserve_bytes == 256 * MIB
    assert NO_RESERVE.reserve_bytes == 0
