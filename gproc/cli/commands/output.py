"""``gproc output``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import COUNT, OFFSET, Command, complete_job_ids
from gproc.cli.console import note
from gproc.cli.session import resolve_id, with_client

if TYPE_CHECKING:
    from gproc.client import Client, Output

__all__ = ["command", "parse_since"]


@click.command("output", cls=Command)
@click.argument("job", metavar="ID", shell_complete=complete_job_ids)
@click.option("-f", "--follow/--no-follow", "follow", default=True, help="Go on live (the default), or end now.")
@click.option("--offset", type=OFFSET, default=0, metavar="N", help="Begin at this byte.")
@click.option("--tail", type=COUNT, metavar="N", help="Begin N lines before the end.")
@click.option("--since", metavar="T", help="Begin at this time (RFC 3339), or this long ago (10m).")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream.")
@click.option("--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--raw", is_flag=True, help="Pass control sequences on to the terminal.")
@click.pass_context
def command(ctx: click.Context, /, job: str, **options: Any) -> int:
    """Show a job's output from the beginning, then live.

    Its standard output goes to standard output and its standard error to standard error. In a pipe or a file every byte
    is as the job wrote it; a terminal is given colours, but nothing else to obey.
    """
    wanted = _wanted(options)
    return with_client(ctx, lambda client: _show(client, job, wanted, options))


async def _show(client: Client, job: str, wanted: dict[str, Any], options: dict[str, Any]) -> int:
    from gproc.cli.live.follow import Place, copy_output
    from gproc.errors import Unavailable

    job_id = await resolve_id(client, job)
    output: Output = client.output(job_id, **wanted)
    place = Place(output)
    try:
        await copy_output(output, timestamps=options["timestamps"], raw=options["raw"], place=place)
    except (asyncio.CancelledError, Unavailable):
        if options["follow"]:
            note(f"stopped listening; go on with: gproc output --offset {place.offset} {job_id}")
        raise
    return 0


def _wanted(options: dict[str, Any]) -> dict[str, Any]:
    from gproc.model import Stream

    since = options["since"]
    return {
        "offset": options["offset"],
        "follow": options["follow"],
        "streams": () if options["stream"] is None else (Stream(options["stream"]),),
        "tail_lines": options["tail"],
        "since": None if since is None else parse_since(since, now=datetime.now(UTC)),
    }


def parse_since(text: str, *, now: datetime) -> datetime:
    """Return the moment written in RFC 3339, or as a duration before *now*; a time without a zone is local time."""
    from gproc.errors import InvalidArgument
    from gproc.model.units import parse_duration

    try:
        return now - parse_duration(text)
    except (InvalidArgument, OverflowError):  # longer ago than years are counted
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"--since {text!r}: is neither a time, as 2026-07-01T12:00:00Z, nor a duration, as 10m"
        ) from None
