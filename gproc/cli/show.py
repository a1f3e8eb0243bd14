"""Jobs on standard output: drawn on a terminal, plain in a pipe, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gproc.cli.console import is_terminal, make_console
from gproc.cli.render import jobs as render
from gproc.model import JobStatus

__all__ = ["show_documents", "show_job", "show_jobs"]


def show_job(job: JobStatus, *, as_json: bool) -> None:
    """Print everything known about one job."""
    if as_json:
        sys.stdout.write(render.json_text(job))
    elif is_terminal(sys.stdout):
        make_console().print(render.job_card(job, now=render.utc_now()))
    else:
        lines = render.card_lines(job, now=render.utc_now())
        width = max(len(name) for name, _ in lines)
        sys.stdout.write("".join(f"{name:<{width}}  {text}\n" for name, text in lines))


def show_jobs(jobs: Sequence[JobStatus], *, as_json: bool, alone: bool = False) -> None:
    """Print jobs, one a line. As JSON: an array, or an object if *alone*, because one job was asked for."""
    if as_json:
        sys.stdout.write(render.json_text(jobs[0] if alone else jobs))
    elif is_terminal(sys.stdout):
        if jobs:
            console = make_console()
            console.print(render.job_table(jobs, now=render.utc_now(), width=console.width))
    else:
        sys.stdout.write(render.plain_table(jobs, now=render.utc_now()))


def show_documents(documents: Sequence[dict[str, object]], *, failures: Sequence[tuple[str, str]], alone: bool) -> None:
    """Print plain values as JSON: an object if *alone*, else an array; a failure is an object with "error"."""
    failed: list[dict[str, object]] = [{"job": job, "error": problem} for job, problem in failures]
    found = [*documents, *failed]
    sys.stdout.write(render.json_text(found[0] if alone else found))
