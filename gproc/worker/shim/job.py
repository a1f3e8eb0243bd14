"""The job of a shim: its phases, its signals, its end. What is to be done is in `gproc.worker.lifecycle`."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gproc.model import JobState, JobStatus, StopPolicy, Usage
from gproc.model.spec import JobSpec
from gproc.model.units import format_duration, signal_name
from gproc.worker.cgroup import JobCgroup
from gproc.worker.lifecycle import TABLE, Action, Cause, Event, Phase, final_state
from gproc.worker.shim.loop import Loop
from gproc.worker.tree import descendants, signal_each

__all__ = ["Job"]

_KILL_AGAIN_SECONDS = 0.02
_PATIENCE_WITH_THE_KERNEL = 100
_KILL_ROUNDS = 20


class Job:
    """A program that runs, until all that it started is gone."""

    def __init__(
        self,
        loop: Loop,
        spec: JobSpec,
        status: JobStatus,
        *,
        cgroup: JobCgroup | None,
        finished: Callable[[], None],
    ) -> None:
        self.status = status
        self._cgroup = cgroup
        self._loop = loop
        self._stop = spec.request.stop
        self._timeout = spec.request.timeout
        self._finished = finished
        self._pid = status.pid or 0
        self._phase = Phase.RUNNING
        self._cause: Cause | None = None
        self._wait_status: int | None = None
        """How the program ended, in the kernel's words; None while it runs."""
        self._cpu_seconds = 0.0
        self._max_rss = 0
        self._kills = 0
        if self._timeout:
            loop.at("timeout", self._timeout.total_seconds(), self._time_over)

    @property
    def is_over(self) -> bool:
        """Whether nothing of the job is left."""
        return self._phase is Phase.ENDED

    def ask_to_stop(self, policy: StopPolicy, by: str) -> None:
        """Begin to stop the job, or hurry a stop that has begun."""
        if self._phase is Phase.RUNNING:
            self._stop = policy
            self._cause = Cause.STOP
            reason = f"stopped by {by}" if by else "stopped because its shim was told to end"
            self.status = replace(self.status, stopped_by=by, reason=reason)
        elif self._phase is not Phase.ENDED:
            self._stop = replace(self._stop, grace=policy.grace)
        self._happened(Event.STOP_ASKED)

    def output_is_full(self, cap: int) -> None:
        """Begin to stop the job because it wrote more than it may keep."""
        if self._phase is Phase.RUNNING:
            self._cause = Cause.OUTPUT
            self.status = replace(self.status, reason=f"stopped because it wrote more than {cap} bytes of output")
        self._happened(Event.OUTPUT_FULL)

    def signal(self, number: int) -> None:
        """Send signal *number* to the program's process group; raises `OSError`."""
        # Once the program is reaped, only a member that is a descendant of ours proves whose group this number is.
        if self._wait_status is not None and not any(_group_of(pid) == self._pid for pid in descendants(os.getpid())):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        os.killpg(self._pid, number)

    def reap(self) -> None:
        """Take note of all children that have ended."""
        while True:
            try:
                pid, wait_status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                if self._wait_status is not None:
                    self._happened(Event.TREE_EMPTY)
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(wait_status):
                # It has not ended: it asked to be traced by its parent, see ptrace(2), and only so this is told at all.
                continue
            self._cpu_seconds += usage.ru_utime + usage.ru_stime
            self._max_rss = max(self._max_rss, usage.ru_maxrss * 1024)
            if pid == self._pid:
                self._wait_status = wait_status
                self._happened(Event.PROGRAM_ENDED)

    def _time_over(self) -> None:
        if self._phase is Phase.RUNNING:
            self._cause = Cause.TIMEOUT
            limit = format_duration(self._timeout or timedelta(0))
            self.status = replace(self.status, reason=f"stopped because its time of {limit} was over")
        self._happened(Event.TIME_OVER)

    def _happened(self, event: Event) -> None:
        step = TABLE[self._phase, event]
        self._phase = step.phase
        for action in step.actions:
            self._act(action)
        if self._phase not in (Phase.RUNNING, Phase.ENDED) and self.status.state is JobState.RUNNING:
            self.status = replace(self.status, state=JobState.STOPPING)

    def _act(self, action: Action) -> None:
        match action:
            case Action.SIGNAL_GROUP:
                self._signal_group()
            case Action.START_GRACE:
                self._loop.at("grace", self._stop.grace.total_seconds(), self._grace_over)
            case Action.SHORTEN_GRACE:
                left = self._loop.remaining("grace")
                if left is not None and self._stop.grace.total_seconds() < left:
                    self._loop.at("grace", self._stop.grace.total_seconds(), self._grace_over)
            case Action.TERMINATE_REST:
                left_behind = descendants(os.getpid())
                signal_each(left_behind, signal.SIGTERM)
                signal_each(left_behind, signal.SIGCONT)
            case Action.KILL_TREE:
                self._kill_tree()
            case Action.FINISH:
                self._finish()

    def _grace_over(self) -> None:
        self._happened(Event.GRACE_OVER)

    def _signal_group(self) -> None:
        try:
            os.killpg(self._pid, self._stop.signal)
            # A job that was stopped with SIGSTOP takes no other signal before it goes on.
            os.killpg(self._pid, signal.SIGCONT)
        except ProcessLookupError:
            return
        except PermissionError:
            self._note(f"the server may not send it {self._stop.signal.name}")

    def _kill_tree(self) -> None:
        """Kill everything, again and again: what is being killed may be forking."""
        refused: list[int] = []
        killed: list[int] = []
        if self._cgroup is not None:
            self._cgroup.kill()
        for _ in range(_KILL_ROUNDS):
            found = descendants(os.getpid())
            if found == killed:
                break
            refused, killed = signal_each(found, signal.SIGKILL), found
        self._kills += 1
        if self._kills == _PATIENCE_WITH_THE_KERNEL or (refused and self._kills == 1):
            survivors = ", ".join(map(str, descendants(os.getpid())))
            self._note(f"processes that cannot be killed: {survivors}")
        delay = _KILL_AGAIN_SECONDS if self._kills < _PATIENCE_WITH_THE_KERNEL else 1.0
        self._loop.at("grace", delay, self._grace_over)

    def _note(self, text: str) -> None:
        reason = f"{self.status.reason}; {text}" if self.status.reason else text
        self.status = replace(self.status, reason=reason)

    def _finish(self) -> None:
        self._loop.cancel("timeout")
        self._loop.cancel("grace")
        wait_status = self._wait_status or 0
        was_signaled = os.WIFSIGNALED(wait_status)
        ended_at = datetime.now(UTC)
        started_at = self.status.started_at or ended_at
        state = final_state(self._cause, was_signaled=was_signaled)
        usage = Usage(cpu_seconds=round(self._cpu_seconds, 6), max_rss_bytes=self._max_rss)
        if self._cgroup is not None:
            usage = self._close_cgroup(self._cgroup, usage)
        self.status = replace(
            self.status,
            state=state,
            exit_code=None if was_signaled else os.WEXITSTATUS(wait_status),
            signal=signal_name(os.WTERMSIG(wait_status)) if was_signaled else "",
            reason=self.status.reason or _natural_reason(wait_status),
            ended_at=max(ended_at, started_at),
            usage=usage,
        )
        self._finished()

    def _close_cgroup(self, cgroup: JobCgroup, measured: Usage) -> Usage:
        """Take the last figures of the job's cgroup and remove it."""
        if cgroup.oom_kills():
            self._note("killed by the kernel because its memory limit was reached")
        usage = cgroup.usage(measured)
        cgroup.remove()
        return usage


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _natural_reason(wait_status: int) -> str:
    if os.WIFSIGNALED(wait_status):
        dumped = " and dumped core" if os.WCOREDUMP(wait_status) else ""
        return f"killed by {signal_name(os.WTERMSIG(wait_status))}{dumped}"
    return f"exited with code {os.WEXITSTATUS(wait_status)}"
