"""Child processes: started, spoken to in JSON lines, measured in /proc, and always ended."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

__all__ = [
    "CallFailed",
    "Driver",
    "LineReader",
    "adopt_orphans",
    "children_of",
    "cpu_seconds_of",
    "end",
    "end_all",
    "forget_peak",
    "marked",
    "memory",
    "parent_of",
    "peak_memory",
]

PR_SET_CHILD_SUBREAPER = 36
Process = subprocess.Popen[bytes]


class CallFailed(subprocess.SubprocessError):
    """A process did not do what it was asked to; the message says which process and what it said."""


def end(process: Process, patience: float = 10.0) -> None:
    """Terminate *process*, kill it if that takes longer than *patience* seconds, and reap it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class LineReader:
    """Reads lines from a pipe, each within a limit."""

    def __init__(self, pipe: int, whose: str) -> None:
        self._pipe = pipe
        self._whose = whose
        self._pending = b""

    def line(self, limit: float) -> str:
        """Return the next line; raises `CallFailed` at the end of the pipe, or after *limit* seconds."""
        deadline = time.monotonic() + limit
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._pipe], [], [], left)[0]:
                raise CallFailed(f"{self._whose}: no answer within {limit:g} s")
            piece = os.read(self._pipe, 65536)
            if not piece:
                raise CallFailed(f"{self._whose}: ended; its last words: {self._pending.decode(errors='replace')!r}")
            self._pending += piece
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode(errors="replace")

    def until(self, mark: str, limit: float) -> str:
        """Return the first line that contains *mark*."""
        seen: list[str] = []
        deadline = time.monotonic() + limit
        while True:
            try:
                line = self.line(max(0.0, deadline - time.monotonic()))
            except CallFailed as problem:
                raise CallFailed(f"{problem}; before that: {' | '.join(seen[-5:])}") from problem
            if mark in line:
                return line
            seen.append(line)


class Driver:
    """A process that does one thing after another when asked: JSON lines in, JSON lines out."""

    def __init__(self, stack: ExitStack, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(end, self._process)
        assert self._process.stdout is not None
        self._answers = LineReader(self._process.stdout.fileno(), name)

    @property
    def pid(self) -> int:
        """The process itself."""
        return self._process.pid

    def ask(self, do: str, /, limit: float = 300.0, **arguments: object) -> dict[str, Any]:
        """Have *do* done and return the answer; raises `CallFailed` with the driver's own words if it could not."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as gone:
            raise CallFailed(f"{self.name}: it has ended, and cannot {do}") from gone
        answer: dict[str, Any] = json.loads(self._answers.line(limit))
        if "error" in answer:
            raise CallFailed(f"{self.name}: {do}: {answer['error']}")
        return answer


def memory(pid: int, field: str) -> int:
    """Return a figure of /proc/PID/smaps_rollup, as "Pss" or "Rss", in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise CallFailed(f"process {pid}: the kernel shows no {field}")


def forget_peak(pid: int) -> None:
    """Have the kernel count the peak memory of a process anew, from what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory(pid: int) -> int:
    """Return the most that was resident since `forget_peak`, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise CallFailed(f"process {pid}: the kernel shows no peak memory")


def cpu_seconds_of(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, float]:
    """Run a command with its output thrown away; return its exit code and the CPU time it took, children included."""
    null = subprocess.DEVNULL
    process = subprocess.Popen(argv, env=env, stdin=null, stdout=null, stderr=null)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(roots: Iterable[int]) -> set[int]:
    """Return *roots* and all their descendants that are alive now."""
    parents = {}
    for pid in _all():
        try:
            parents[pid] = parent_of(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    family = set(roots)
    while grown := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
        family |= grown
    return family


def marked(mark: str) -> set[int]:
    """Return all processes that were started with *mark* in their environment, this one left out."""
    needle = mark.encode()
    found = set()
    for pid in _all():
        try:
            if needle in Path(f"/proc/{pid}/environ").read_bytes() and pid != os.getpid():
                found.add(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that what daemonises itself can be reaped here."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become the parent of orphans")


def end_all(mark: str, limit: float = 10.0) -> None:
    """Kill and reap what is left of the processes with *mark* and of all that they started."""
    family = children_of(marked(mark))
    deadline = time.monotonic() + limit
    while family and time.monotonic() < deadline:
        for pid in family:
            _kill_and_reap(pid)
        time.sleep(0.02)
        family = {pid for pid in family if Path(f"/proc/{pid}").exists()} | children_of(marked(mark))


def _kill_and_reap(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        return  # gone, or somebody else's to reap


def _all() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
