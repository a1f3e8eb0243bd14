"""The story of one job, told from its shim."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn, Self

from gproc.errors import GprocError, InternalError
from gproc.model import JobRequest, JobState, JobStatus, OutputPolicy, StopPolicy
from gproc.model.document import spec_from_document, spec_to_document, status_to_document
from gproc.model.spec import JobSpec
from gproc.model.units import parse_signal
from gproc.store.index import Kind
from gproc.store.records import GrowingRecord, read_record, write_record
from gproc.store.writer import Extent, OutputWriter
from gproc.worker import kernel
from gproc.worker.protocol import STOP_RECORD, VERSION, Lines, Message, encode, failure
from gproc.worker.shim.birth import Born, bring_to_life
from gproc.worker.shim.job import Job
from gproc.worker.shim.links import Link, Links
from gproc.worker.shim.loop import Loop
from gproc.worker.shim.pump import Pump
from gproc.worker.tree import start_ticks

__all__ = ["Shim", "detach", "run_shim"]

_DRAIN_SECONDS = 1.0
_WRITE_AGAIN_SECONDS = 0.5
_NOT_UNDERSTOOD = (KeyError, TypeError, ValueError, OverflowError, GprocError)
_MOST_JOBS = 100
"""Of one process, one after the other."""


def run_shim(directory: str, control: socket.socket) -> NoReturn:
    """Be the shim of the job in *directory*, and after it of those that the server gives it.

    *control* leads to the server that asked for it. The process is detached already.
    """
    jobs, score = 1, kernel.oom_score()
    try:
        while _be_shim(directory, control) and jobs < _MOST_JOBS:
            kernel.set_oom_score(score)
            directory = _stand_by(control)
            jobs += 1
    except BaseException as error:  # noqa: BLE001 - the last place where anything can be said
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        _say_failed(control, InternalError(f"the job could not be started: {error}"), number)
        os._exit(1)
    os._exit(0)


def _be_shim(directory: str, control: socket.socket) -> bool:
    """Run one job to its end; return whether another may follow."""
    os.chdir(directory)
    with Shim(control) as shim:
        return shim.run()


def detach() -> None:
    """Leave the spawner's session and signals; adopt orphans."""
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    kernel.name_process("gproc-shim")
    kernel.become_subreaper()


def _stand_by(control: socket.socket) -> str:
    """Wait for the server to give this process another job; return its directory. Without one, end."""
    os.chdir("/")
    control.settimeout(None)
    lines = Lines()
    with contextlib.suppress(OSError, ValueError):
        control.sendall(encode({"idle": True}))
        while data := control.recv(65536):
            for message in lines.feed(data):
                # Anything else came too late for the job that is over.
                if "run" in message:
                    return str(message["run"])
    os._exit(0)


def _say_failed(control: socket.socket, error: GprocError, number: int) -> None:
    with contextlib.suppress(OSError):
        control.settimeout(1.0)
        control.sendall(failure(error, number))


class Shim:
    """Runs one job in the current directory, its job directory."""

    def __init__(self, control: socket.socket, *, is_rehearsal: bool = False) -> None:
        self._control = control
        self._is_rehearsal = is_rehearsal
        self._open: list[int] = []
        self._dir_fd = self._keep(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        self._spec = self._claim()
        self._record = GrowingRecord("status.json", dir_fd=self._dir_fd)
        self._loop = Loop()
        output_fd, index_fd = (self._create(name) for name in ("output", "index"))
        limits = self._spec.request.limits
        self._cap = limits.output_bytes
        self._stops_when_full = limits.output_policy is OutputPolicy.STOP
        self._writer = OutputWriter(output_fd, index_fd, cap=self._cap, reserve=self._spec.reserve_bytes)
        self._pump = Pump(self._loop, self._writer, files=(index_fd, output_fd))
        self._links = Links(self._loop, greeting=self._greeting, latest=self._latest, asked=self._asked)
        self._identity: Message = {}
        self._announced_extent = Extent()
        self._is_written = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the job."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self._record.close()
        self._pump.close()
        self._loop.close()
        while self._open:
            os.close(self._open.pop())

    @classmethod
    def rehearse(cls) -> None:
        """Run a job that does nothing in the current directory, an empty one; see `gproc.worker.spawner`."""
        request = JobRequest(command="true", working_directory="/")
        spec = JobSpec(id="rehearsal", owner="nobody", request=request, created_at=datetime.now(UTC), nonce="none")
        dir_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_record("spec.json", spec_to_document(spec), dir_fd=dir_fd, durable=False)
        finally:
            os.close(dir_fd)
        score = kernel.oom_score()
        audience, control = socket.socketpair()
        try:
            with audience, control, cls(control, is_rehearsal=True) as shim:
                shim.run()
        finally:
            kernel.set_oom_score(score)

    def run(self) -> bool:
        """Run the job to its end; return whether this process is as good as new, and may run another one."""
        try:
            self._start()
        except GprocError as error:
            _say_failed(self._control, error, getattr(error, "errno", 0))
            return False
        while not self._is_written:
            self._loop.turn()
            self._announce()
        self._links.say_goodbye(keep=self._control)
        self._pump.sync()
        # Jobs of several users do not follow each other: each fork of a shim begins with all that the shim has seen.
        return self._control.fileno() >= 0 and self._spec.run_as is None

    def _claim(self) -> JobSpec:
        """Read what is to be run and lock it: whoever holds this lock is the shim, and there is never a second."""
        fd = self._keep(os.open("spec.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists("status.json"):
            raise RuntimeError("this job was given up before its shim came")
        return spec_from_document(read_record("spec.json", dir_fd=self._dir_fd))

    def _create(self, name: str) -> int:
        return self._keep(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def _keep(self, fd: int) -> int:
        """Note that *fd* is to be closed when the job is over."""
        self._open.append(fd)
        return fd

    def _start(self) -> None:
        """Execute the program, then write down and announce that it runs."""
        self._listen_for_signals()
        if self._spec.request.limits.core_bytes is None and not self._is_rehearsal:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Whatever may fail comes before the program is executed; what fails after it must not undo it.
        self._links.listen("shim.sock")
        link = self._links.add(self._control)
        stdout, stderr = self._pump.open_pipe(Kind.STDOUT), self._pump.open_pipe(Kind.STDERR)
        try:
            born = bring_to_life(self._spec, stdout=stdout, stderr=stderr)
        finally:
            os.close(stdout)
            os.close(stderr)
        status = self._first_status(born)
        self._job = Job(self._loop, self._spec, status, cgroup=born.cgroup, finished=self._tree_is_empty)
        self._identity = self._identity_beside(born.pid)
        try:
            self._write_status(durable=False)
        except OSError:
            # On a disk that is full a job runs without, and has a record once there is room for the last one.
            if self._is_rehearsal:
                raise
        link.greet()
        self._announced_status = self._job.status
        # Only now: the job should stay as likely a victim as it was. A program that was spawned still shares the memory
        # of its parent for a moment after the parent goes on, and to the kernel one memory has one score.
        kernel.set_oom_score(-900)
        # It may have ended before anybody listened.
        self._job.reap()

    def _first_status(self, born: Born) -> JobStatus:
        now, pending = datetime.now(UTC), self._spec.pending()
        return replace(pending, state=JobState.RUNNING, pid=born.pid, started_at=now, limits=born.limits)

    def _identity_beside(self, pid: int) -> Message:
        """Return who this shim is, and which process *pid* is, as it is written beside each status."""
        return {
            "boot_id": kernel.boot_id(),
            "pid": os.getpid(),
            "start_ticks": start_ticks(pid),
            # With these the job is served even if its first record is damaged.
            "nonce": self._spec.nonce,
            "request_id": self._spec.request.request_id,
        }

    def _listen_for_signals(self) -> None:
        """Turn SIGCHLD and SIGTERM into bytes that the loop can wait for."""
        reader, writer = map(self._keep, os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, _note_nothing)
        self._loop.watch(reader, lambda _: self._signalled(os.read(reader, 512)))

    def _signalled(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers:
            self._told_to_end()
        self._job.reap()

    def _told_to_end(self) -> None:
        """Stop the job as a server wrote that could not reach us, or else as it was started to be stopped."""
        try:
            asked = read_record(STOP_RECORD, dir_fd=self._dir_fd)
            os.unlink(STOP_RECORD, dir_fd=self._dir_fd)
            self._stop(asked)
        except (OSError, *_NOT_UNDERSTOOD):
            self._job.ask_to_stop(self._spec.request.stop, "")

    def _stop(self, asked: Message) -> None:
        grace = timedelta(seconds=float(asked["grace"]))
        policy = StopPolicy(signal=parse_signal(str(asked["signal"])), grace=grace)
        self._job.ask_to_stop(policy, str(asked["by"]))

    def _greeting(self) -> list[Message]:
        hello = {"version": VERSION, "job": self._spec.id, "nonce": self._spec.nonce}
        return [{"hello": hello}, self._latest("output"), self._latest("status")]

    def _latest(self, topic: str) -> Message:
        if topic == "output":
            extent = self._writer.extent
            return {"output": [extent.end, extent.kept, extent.dropped]}
        return {"status": status_to_document(self._status())}

    def _status(self) -> JobStatus:
        extent = self._writer.extent
        return replace(self._job.status, output_bytes=extent.end, dropped_bytes=extent.dropped)

    def _announce(self) -> None:
        """Tell the links what changed in this turn of the loop."""
        self._announce_output()
        if self._job.status is not self._announced_status and not self._job.is_over:
            self._announced_status = self._job.status
            self._links.announce("status")

    def _announce_output(self) -> None:
        if self._writer.extent is not self._announced_extent:
            self._announced_extent = self._writer.extent
            self._links.announce("output")
            if self._stops_when_full and self._writer.is_full:
                self._job.output_is_full(self._cap or 0)

    def _asked(self, link: Link, message: Message) -> None:
        number, text = 0, ""
        try:
            match message.get("ask"):
                case "stop":
                    self._stop(message)
                case "signal":
                    self._job.signal(int(message["signal"]))
                case _:
                    number, text = errno.ENOSYS, "this shim does not know how"
        except OSError as error:
            number, text = error.errno or errno.EIO, error.strerror or ""
        except _NOT_UNDERSTOOD as error:
            # Whatever a server may say, the job goes on.
            number, text = errno.EINVAL, f"not understood: {error}"
        link.send({"answer": message.get("seq"), "errno": number, "message": text})

    def _tree_is_empty(self) -> None:
        """Take the last bytes and end; whoever else may hold a pipe open gets a moment."""
        self._pump.drain()
        self._announce_output()  # who follows need not wait for the disk
        if self._pump.is_done:
            self._write_final()
        else:
            self._loop.at("drain", _DRAIN_SECONDS, self._give_up_draining)
            self._loop.at("drained", 0.01, self._check_drained)

    def _check_drained(self) -> None:
        if self._pump.is_done:
            self._loop.cancel("drain")
            self._write_final()
        else:
            self._loop.at("drained", 0.01, self._check_drained)

    def _give_up_draining(self) -> None:
        self._loop.cancel("drained")
        self._pump.stop_reading()
        note = "its output was held open by a process that it did not start"
        self._job.status = replace(self._job.status, reason=f"{self._job.status.reason}; {note}")
        self._write_final()

    def _write_final(self) -> None:
        """Write the last record; while the disk is full, keep it here, tell it, and try again."""
        try:
            self._write_status(durable=True)
            self._is_written = True
        except FileNotFoundError:
            # The job's directory was deleted: nobody will ever ask.
            self._is_written = True
        except OSError:
            self._loop.at("write", _WRITE_AGAIN_SECONDS, self._write_final)
        self._announce_output()
        self._links.announce("status")

    def _write_status(self, *, durable: bool) -> None:
        self._record.write(status_to_document(self._status()) | {"shim": self._identity}, durable=durable)


def _note_nothing(_number: int, _frame: object) -> None:
    """Have the wake-up descriptor written; a disposition of SIG_IGN would not."""
