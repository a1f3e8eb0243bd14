"""One operating-system process in its own group."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from signal import Signals

from gproc.errors import JobFinished, QuotaExceeded
from gproc.model import JobRequest, JobState, StopPolicy
from gproc.model.job import arguments_of
from gproc.model.spec import RunAs
from gproc.model.units import signal_name
from gproc.worker.launch import Launch, LaunchError, clean_environment, explain, launch

__all__ = ["Process", "ProcessStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """How a process is at one moment: `pending`, `running`, `exited`, `signaled`, or `lost`."""

    state: JobState
    pid: int | None = None
    exit_code: int | None = None
    signal: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Process:
    """One program in a session and process group of its own.

    It starts with a small clean environment (PATH, HOME, LANG) and what *env* adds, in *cwd*, with /dev/null as its
    input, no descriptors but 0, 1 and 2, and all signals as the system has them by default. *stdout* and *stderr* are
    descriptors; None means this process's own.

    The whole group is signalled and stopped. What leaves the group (`setsid`) escapes: only a `Supervisor`, whose
    shims are subreapers, finds that too. Must be used from one event loop; raises `InvalidArgument` at once if the
    program could never be executed.
    """

    def __init__(
        self,
        command: str,
        args: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] = ".",
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        run_as: RunAs | None = None,
        stop: StopPolicy | None = None,
    ) -> None:
        self._request = JobRequest(
            command=command, args=arguments_of(args), env=env or {}, working_directory=os.fspath(cwd)
        )
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._run_as = run_as
        self._stop = stop or StopPolicy()
        self._status = ProcessStatus(state=JobState.PENDING)
        self._pidfd = -1
        self._is_stopping = False
        self.done = asyncio.Event()
        """Set when the process has ended."""

    async def start(self) -> None:
        """Execute the program; return once it was.

        Raises `StartFailed`, or `QuotaExceeded` if the system has no room for another process.
        """
        if self._status.state is not JobState.PENDING:
            raise RuntimeError("a process is started once")
        pid = self._launch()
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as error:
            # One that cannot be watched must not run.
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # noqa: ASYNC222 - it has been killed
            raise QuotaExceeded(f"no process can be watched now: {error.strerror}; try again later") from error
        self._status = ProcessStatus(state=JobState.RUNNING, pid=pid, started_at=datetime.now(UTC))
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def status(self) -> ProcessStatus:
        """Return how the process is now."""
        return self._status

    def signal(self, number: Signals | int) -> None:
        """Send a signal to the process group; raise `JobFinished` if the process is not running."""
        if self._status.state is not JobState.RUNNING or self._status.pid is None:
            raise JobFinished(
                f"process {self._status.pid or '(not started)'}: is not running; it cannot be sent a signal"
            )
        os.killpg(self._status.pid, number)

    async def stop(self, policy: StopPolicy | None = None) -> ProcessStatus:
        """Stop the process group: the signal, SIGCONT, the grace period, SIGKILL; return how it ended.

        What of the group outlives the program gets SIGKILL at once. A process that has ended is left alone. If
        cancelled, no SIGKILL follows; call again to finish.
        """
        policy = policy or self._stop
        self._is_stopping = True
        if self._status.state is JobState.RUNNING:
            self.signal(policy.signal)
            self.signal(signal.SIGCONT)
            try:
                async with asyncio.timeout(policy.grace.total_seconds()):
                    await self.done.wait()
            except TimeoutError:
                # It may have ended at the same moment.
                with suppress(JobFinished):
                    self.signal(signal.SIGKILL)
        return await self.wait()

    async def wait(self) -> ProcessStatus:
        """Return how the process ended, when it has. Cancelling leaves it alone."""
        if self._status.state is not JobState.PENDING:
            await self.done.wait()
        return self._status

    def _launch(self) -> int:
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        home = self._run_as.home if self._run_as else os.path.expanduser("~")
        plan = Launch(
            command=self._request.command,
            args=self._request.args,
            env=clean_environment(home, self._request.env),
            directory=self._request.working_directory,
            stdin=null if self._stdin is None else self._stdin,
            stdout=1 if self._stdout is None else self._stdout,
            stderr=2 if self._stderr is None else self._stderr,
            run_as=self._run_as,
        )
        try:
            return launch(plan)
        except LaunchError as error:
            raise explain(error, plan) from error
        finally:
            os.close(null)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        if self._is_stopping and self._status.pid is not None:
            # Not reaped yet, so the group's number cannot be a stranger's.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._status.pid, signal.SIGKILL)
        try:
            ending = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            # Somebody else in this program reaped it: how it ended cannot be known.
            ending = None
        finally:
            os.close(self._pidfd)
        self._status = _ended_status(self._status, ending)
        self.done.set()


def _ended_status(running: ProcessStatus, ending: os.waitid_result | None) -> ProcessStatus:
    exited = ending is not None and ending.si_code == os.CLD_EXITED
    state = JobState.LOST if ending is None else JobState.EXITED if exited else JobState.SIGNALED
    return ProcessStatus(
        state=state,
        pid=running.pid,
        exit_code=ending.si_status if ending is not None and exited else None,
        signal=signal_name(ending.si_status) if ending is not None and not exited else "",
        started_at=running.started_at,
        ended_at=datetime.now(UTC),
    )
