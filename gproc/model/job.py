"""A job: what was asked for, what was accepted, and how it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from signal import Signals

from gproc.errors import InvalidArgument
from gproc.model.checks import check_kind, check_natural, check_text, check_texts_by_name, listed
from gproc.model.identity import Identity
from gproc.model.ids import JobId
from gproc.model.state import JobState

__all__ = [
    "JobRequest",
    "JobStatus",
    "Limits",
    "OutputPolicy",
    "StopPolicy",
    "TerminalSize",
    "Usage",
    "arguments_of",
]

MAX_ARGUMENTS = 10_000
MAX_NAME = 256
MOST_CELLS = 65_535
"""A terminal's size is two 16-bit numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPolicy:
    """How a job is asked to end: a signal, some patience, then SIGKILL to all that is left."""

    signal: Signals = Signals.SIGTERM
    grace: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        check_kind("stop.signal", self.signal, Signals, "one of signal.Signals")
        check_kind("stop.grace", self.grace, timedelta, "a timedelta")
        if self.grace < timedelta(0):
            raise InvalidArgument("stop.grace", "must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalSize:
    """The size of a terminal in character cells."""

    rows: int = 24
    columns: int = 80

    def __post_init__(self) -> None:
        for name in self.__slots__:
            check_natural(f"tty.{name}", getattr(self, name), least=1, most=MOST_CELLS)


class OutputPolicy(Enum):
    """What happens when a job has written as much as may be kept."""

    DROP = "drop"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds for one job; None means the server's default, or none."""

    memory_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    cpu_seconds: int | None = None
    file_size_bytes: int | None = None
    core_bytes: int | None = None
    output_bytes: int | None = None
    output_policy: OutputPolicy | None = None
    cpu_millis: int | None = None
    io_read_bps: int | None = None
    """Bytes a second that the whole job reads from the disk of its working directory."""
    io_write_bps: int | None = None

    def __post_init__(self) -> None:
        check_kind("limits.output_policy", self.output_policy, OutputPolicy | None, "an OutputPolicy")
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and name != "output_policy":
                check_natural(f"limits.{name}", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What to run, and how: all that a client can say when it starts a job.

    Raises `InvalidArgument`, naming the field, if the kernel could never execute it.
    """

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables added to a small clean environment."""
    working_directory: str = ""
    """Directory to start in; empty for the home of the user that the job runs as."""
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    """The same id from the same owner means the same job, never a second run; empty for none."""
    timeout: timedelta | None = None
    stop: StopPolicy = StopPolicy()
    stdin: bool = False
    tty: TerminalSize | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        _check_executable("command", self.command)
        if not self.command:
            raise InvalidArgument("command", "must not be empty")
        self._check_arguments()
        self._check_environment()
        _check_executable("working_directory", self.working_directory)
        check_texts_by_name("labels", self.labels)
        for what, text in (("name", self.name), ("request_id", self.request_id)):
            check_text(what, text)
            if len(text) > MAX_NAME:
                raise InvalidArgument(what, f"longer than {MAX_NAME} characters")
        check_kind("timeout", self.timeout, timedelta | None, "a timedelta")
        if self.timeout is not None and self.timeout < timedelta(0):
            raise InvalidArgument("timeout", "must not be negative")
        check_kind("stop", self.stop, StopPolicy, "a StopPolicy")
        check_kind("stdin", self.stdin, bool, "True or False")
        check_kind("tty", self.tty, TerminalSize | None, "a TerminalSize")
        check_kind("limits", self.limits, Limits, "Limits")

    def _check_arguments(self) -> None:
        for argument in arguments_of(self.args):
            _check_executable("args", argument)
        if len(self.args) > MAX_ARGUMENTS:
            raise InvalidArgument("args", f"{len(self.args)} arguments are more than {MAX_ARGUMENTS}")

    def _check_environment(self) -> None:
        check_texts_by_name("env", self.env)
        for variable, value in self.env.items():
            _check_executable("env", variable)
            if not variable or "=" in variable:
                raise InvalidArgument("env", f"{variable!r} cannot be the name of a variable")
            _check_executable("env", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a job used, from the kernel's accounting.

    To the kernel, a program that is executed has used what its shim had: some 13 MB are the least that it tells.
    """

    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One job, as it is at one moment."""

    id: JobId
    owner: Identity
    state: JobState
    command: str
    args: tuple[str, ...] = ()
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    pid: int | None = None
    exit_code: int | None = None
    """Set only if its program exited, even if it did so because it was asked to; not if a signal killed it."""
    signal: str = ""
    """Name of the signal that ended it, as ``"SIGTERM"``; empty if none."""
    reason: str = ""
    """One sentence for people."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output_bytes: int = 0
    """Bytes it wrote to both streams, including those that were dropped."""
    dropped_bytes: int = 0
    stopped_by: str = ""
    usage: Usage | None = None
    limits: Mapping[str, str] = field(default_factory=dict)
    """How each limit that was asked for is held: ``"enforced"``, ``"enforced: how"`` or ``"unavailable: why"``."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self.state.is_final

    @property
    def shell_code(self) -> int:
        """What a shell would report: the exit code, 128 + N for signal N, 125 if the outcome is unknown."""
        if self.exit_code is not None:
            return self.exit_code
        if self.signal:
            return 128 + int(getattr(Signals, self.signal, self.signal.removeprefix("SIG")))
        return 125


def arguments_of(args: Iterable[str]) -> tuple[str, ...]:
    """Return *args* as they are in a `JobRequest`; raise `InvalidArgument` for one text, whose letters nobody means."""
    return listed("args", args, "texts")


def _check_executable(field_name: str, text: str) -> None:
    """Refuse what execve(2) cannot be given."""
    check_text(field_name, text)
    if "\0" in text:
        raise InvalidArgument(field_name, "must not contain a NUL character")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidArgument(field_name, f"{text!a:.100} is no text in UTF-8") from None
