"""Jobs, drawn on a terminal, plain in a pipe, or as JSON: on standard output, but for those to choose from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from gproc.cli.console import is_terminal, make_console, utc_now
from gproc.cli.render import jobs as render
from gproc.model import JobStatus
from gproc.model.document import Document, status_to_document

if TYPE_CHECKING:
    from gproc.cli.each import Outcomes

__all__ = ["show_choice", "show_documents", "show_job", "show_jobs", "show_outcomes"]


def show_job(job: JobStatus, *, as_json: bool) -> None:
    """Print everything known about one job."""
    if as_json:
        sys.stdout.write(render.json_text(status_to_document(job)))
    elif is_terminal(sys.stdout):
        make_console().print(render.job_card(job, now=utc_now()))
    else:
        lines = render.card_lines(job, now=utc_now())
        width = max(len(name) for name, _ in lines)
        sys.stdout.write("".join(f"{name:<{width}}  {text}\n" for name, text in lines))


def show_jobs(jobs: Sequence[JobStatus], *, as_json: bool, alone: bool = False) -> None:
    """Print jobs, one a line. As JSON: an array, or an object if *alone*, because one job was asked for."""
    if as_json:
        documents = [status_to_document(job) for job in jobs]
        sys.stdout.write(render.json_text(documents[0] if alone else documents))
    else:
        _show_table(jobs, sys.stdout)


def show_choice(jobs: Sequence[JobStatus]) -> None:
    """Show people, on standard error, the jobs that they may have meant. Nobody may be listening."""
    with suppress(OSError, ValueError):
        _show_table(jobs, sys.stderr)


def _show_table(jobs: Sequence[JobStatus], stream: TextIO) -> None:
    if not is_terminal(stream):
        stream.write(render.plain_table(jobs, now=utc_now()))
    elif jobs:
        console = make_console(stream)
        console.print(render.job_table(jobs, now=utc_now(), width=console.width))


def show_outcomes(jobs: Sequence[JobStatus], done: Outcomes[Any], *, as_json: bool) -> None:
    """Print what came of a request for several jobs: *jobs*, and as JSON those that failed, too."""
    if as_json:
        show_documents([status_to_document(job) for job in jobs], done)
    elif jobs:
        _show_table(jobs, sys.stdout)


def show_documents(documents: Sequence[Document], done: Outcomes[Any]) -> None:
    """Print plain values as JSON: an object if one job was asked for, else an array; a failure has "error"."""
    found = [*documents, *({"job": job, "error": problem} for job, problem in done.failures)]
    sys.stdout.write(render.json_text(found[0] if done.is_one else found))
