"""A job that was started here and is listened to: what is said when it begins, when it ends, when somebody leaves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from gproc.cli.console import is_terminal, note
from gproc.cli.job_options import limit_name
from gproc.cli.live.follow import Place, copy_output
from gproc.cli.live.interrupts import Interrupts
from gproc.errors import CommandNotFound, DeadlineExceeded, JobNotFound, Unavailable, split_advice
from gproc.model import JobState

if TYPE_CHECKING:
    from gproc.client import Client, Job, Output
    from gproc.model import JobRequest, JobStatus

__all__ = ["listen", "submit"]

_UNKNOWN = 125


async def submit(client: Client, request: JobRequest) -> Job:
    """Start the job, and tell which of its limits do not hold."""
    try:
        job = await client.submit(request)
    except CommandNotFound as error:
        if " " not in request.command:
            raise
        hint = "write its words apart, without quotes around all of them, or give a line to a shell: sh -c 'LINE'"
        raise CommandNotFound(f"{split_advice(error.args[0])[0]}; {hint}", error.errno) from error
    except (asyncio.CancelledError, DeadlineExceeded, Unavailable):
        if client.may_have_asked:
            note("there was no answer; whether the job was started is shown by: gproc list --running")
        raise
    for name, how in sorted(job.status.limits.items() if job.status else ()):
        held, _, why = how.partition(": ")
        if held == "unavailable":
            note(f"{limit_name(name)} does not hold" + (f": {why}" if why else ""))
    return job


async def listen(job: Job, *, with_interrupts: bool) -> int:
    """Show the output and return the exit code; *with_interrupts*, Ctrl-C goes to the job first.

    Whatever else ends it, Ctrl-C, a signal, a reader that left, a server that is gone: it is told that the job goes on.
    """
    output = job.output()
    place = Place(output)
    async with AsyncExitStack() as stack:
        interrupts = Interrupts(job)
        stack.enter_context(_telling_that_it_goes_on(job, output, place, lambda: interrupts.has_stopped))
        if with_interrupts:
            await stack.enter_async_context(interrupts)
        status = await copy_output(output, place=place)
    if status is None:
        return _UNKNOWN
    _tell_ending(status)
    return status.shell_code


@contextmanager
def _telling_that_it_goes_on(job: Job, output: Output, place: Place, was_stopped: Callable[[], bool]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if output.end is not None or isinstance(error, JobNotFound):
            raise  # it is over, and may even have been removed
        again = f"listen again: gproc output --offset {place.offset} {job.id}"
        if was_stopped():
            note(f"stopped listening; the server goes on stopping the job, if it was there to hear it; {again}")
        else:
            note(f"stopped listening, not the job; {again}; `gproc stop {job.id}` ends it")
        raise


def _tell_ending(status: JobStatus) -> None:
    """Tell why the job ended, unless it did so by itself: the exit code alone does not say who stopped it.

    A signal that nobody asked Gproc for is in the exit code; only people at a terminal have to be told its name.
    """
    if status.state is JobState.SIGNALED and is_terminal(sys.stderr):
        note(f"the job is over: {_killed(status)}")
    if status.state in (JobState.STOPPED, JobState.TIMED_OUT, JobState.LOST):
        from gproc.cli.render.jobs import outcome

        note(f"the job is over: {outcome(status)}{_by_whom_and_why(status)}")


def _by_whom_and_why(status: JobStatus) -> str:
    """Return what the outcome leaves open: each thing once, for most reasons begin as the outcome does."""
    by = f" by {status.stopped_by}" if status.stopped_by and status.state is JobState.STOPPED else ""
    if status.reason.startswith(f"stopped{by}"):
        return status.reason.removeprefix("stopped")
    return f"{by}: {status.reason}" if status.reason else by


def _killed(status: JobStatus) -> str:
    how = status.reason or f"killed by {status.signal}"
    # A program that is refused memory seldom says so: many fall over a null pointer, or abort.
    is_suspect = "memory_bytes" in status.limits and "memory" not in how
    return how + ("; is --memory too little for it?" if is_suspect else "")
