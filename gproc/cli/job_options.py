"""The options that ``start`` and ``run`` share, and the request they add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import (
    CPUS,
    DIRECTORY,
    DURATION,
    ONE_OR_MORE,
    OPEN_FILES,
    REQUEST,
    SIGNAL,
    SIZE,
    job_command_arguments,
)

if TYPE_CHECKING:
    from gproc.model import JobRequest

__all__ = ["job_options", "job_request", "limit_name", "selection"]

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-n", "--name", metavar="NAME", default="", help="A name for people; need not be unique."),
    click.option("-e", "--env", metavar="K=V", multiple=True, help="Add a variable to the job's environment."),
    click.option("-C", "--directory", metavar="DIR", type=DIRECTORY, help="Start in this directory of the server."),
    click.option("--label", "labels", metavar="K=V", multiple=True, help="Add a label to select by."),
    click.option("--timeout", type=DURATION, help="Stop the job after this time, as 30s, 5m, 1h30m."),
    click.option("--grace", type=DURATION, help="When stopping, wait this long before SIGKILL (10s)."),
    click.option("--stop-signal", type=SIGNAL, help="When stopping, send this signal first (TERM)."),
    click.option("--memory", type=SIZE, help="Limit the memory, as 512M."),
    click.option("--cpu", type=CPUS, metavar="N", help="Limit to N processors, as 0.5."),
    click.option("--io-read", type=SIZE, help="Limit reading from the disk to this much a second, as 10M."),
    click.option("--io-write", type=SIZE, help="Limit writing to the disk to this much a second, as 10M."),
    click.option("--processes", type=ONE_OR_MORE, metavar="N", help="Limit processes and threads."),
    click.option("--open-files", type=OPEN_FILES, metavar="N", help="Limit open files of each process."),
    click.option("--output-limit", type=SIZE, help="Keep at most this much output, as 1G."),
    click.option("--request-id", metavar="ID", type=REQUEST, help="The same ID never starts a second job."),
)


_LIMIT_OPTIONS: Mapping[str, str] = {
    "memory_bytes": "--memory",
    "cpu_millis": "--cpu",
    "io_read_bps": "--io-read",
    "io_write_bps": "--io-write",
    "processes": "--processes",
    "open_files": "--open-files",
    "output_bytes": "--output-limit",
}


def limit_name(name: str) -> str:
    """Return what people call a limit of a job: its option, or plain words if no option sets it."""
    return _LIMIT_OPTIONS.get(name, name.replace("_", " "))


def job_options(function: Any) -> Any:
    """Add the options of a new job, and ``COMMAND [ARG]...`` after them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return job_command_arguments(function)


def job_request(program: str, args: Sequence[str], options: Mapping[str, Any]) -> JobRequest:
    """Return the request that the options describe; raise `InvalidArgument` or `click.UsageError` if they cannot."""
    from gproc.model import JobRequest, Limits, StopPolicy

    policy = {"signal": options["stop_signal"], "grace": options["grace"]}
    cpu = options["cpu"]
    return JobRequest(
        command=program,
        args=tuple(args),
        env=_pairs(options["env"], "-e"),
        working_directory=options["directory"] or "",
        name=options["name"],
        labels=_pairs(options["labels"], "--label"),
        request_id=options["request_id"] or "",
        timeout=options["timeout"] if options["timeout"] != timedelta(0) else None,
        stop=StopPolicy(**{name: value for name, value in policy.items() if value is not None}),
        limits=Limits(
            memory_bytes=options["memory"],
            processes=options["processes"],
            open_files=options["open_files"],
            output_bytes=options["output_limit"],
            cpu_millis=None if cpu is None else max(1, round(cpu * 1000)),
            io_read_bps=options["io_read"],
            io_write_bps=options["io_write"],
        ),
    )


def selection(labels: Sequence[str]) -> dict[str, str]:
    """Return the labels that a job is to have, written as ``K=V``; raise `click.UsageError` if none can have them."""
    wanted = _pairs(labels, "--label")
    for text in labels:
        key, _, value = text.partition("=")
        if value != wanted[key]:
            raise click.UsageError(f"--label {text} and --label {key}={wanted[key]}: no job has both; give one of them")
    return wanted


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return the pairs written as ``K=V``; raise `click.UsageError`, naming the option, if one is not."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{option} {text!r}: must be K=V")
        found[key] = value
    return found
