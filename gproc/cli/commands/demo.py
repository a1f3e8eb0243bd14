"""``gproc demo``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gproc.cli.command import Command
from gproc.cli.console import has_colour, is_terminal, note, utc_now
from gproc.cli.loop import run_async

if TYPE_CHECKING:
    from gproc.model import JobStatus

__all__ = ["command"]

_OWNER = "alice"

_SHOW = r"""
colour() { if [ "$COLOURS" ]; then printf '\033[%sm%s\033[0m' "$1" "$2"; else printf %s "$2"; fi; }
printf '%s this is a real process, pid %s, running in %s\n' "$(colour '1;32' hello:)" "$$" "$(pwd)"
echo 'its standard output and its standard error arrive apart, in order' >&2
sleep 0.3
i=0
while [ $i -lt 24 ]; do
    i=$((i + 1))
    bar=$(printf '%*s' $i '' | tr ' ' '#')
    if [ "$TERMINAL" ]; then printf '\r%s [%-24s] %3d%%' "$(colour 36 working)" "$bar" $((i * 100 / 24)); fi
    sleep 0.1
done
[ "$TERMINAL" ] && echo
printf '%s every byte of this came through gRPC and mutual TLS\n' "$(colour '1;35' done:)"
"""


@click.command("demo", cls=Command, context_settings={"allow_interspersed_args": False})
@click.argument("command_line", metavar="[COMMAND [ARG]...]", nargs=-1, type=click.UNPROCESSED)
def command(command_line: tuple[str, ...]) -> int:
    """See a job's live output over mutual TLS, now, here.

    Makes a throwaway authority, starts a server on a free loopback port, runs COMMAND (or a small show) as a client
    called alice, follows its output, and exits with its code. Nothing is left behind.
    """
    program, *args = command_line or ("sh", "-c", _SHOW)
    return run_async(_demonstrate(program, args, own=bool(command_line)), cleans_up=True)


async def _demonstrate(program: str, args: list[str], *, own: bool) -> int:
    from gproc.cli.live.follow import copy_output
    from gproc.testing import embedded_server

    _step("made a throwaway authority, a certificate for a server, and one for alice")
    async with embedded_server() as server:
        _step(f"a server listens on {server.addr}: TLS 1.3, and both sides show a certificate")
        async with server.client(_OWNER) as client:
            job = await client.start(program, args, env={} if own else _stage())
            _step(f"{_OWNER} started {_shown(program, args) if own else 'a small show'}: job {job.id}")
            status = await copy_output(job.output())
    if status is None:
        return 125
    _step(_ending(status))
    return status.shell_code


def _stage() -> dict[str, str]:
    """Return what the show needs to know about where it is seen."""
    told = {"TERMINAL": is_terminal(sys.stdout), "COLOURS": has_colour(sys.stdout)}
    return {name: "yes" for name, is_so in told.items() if is_so}


def _shown(program: str, args: list[str]) -> str:
    return " ".join([program, *args])


def _ending(status: JobStatus) -> str:
    from gproc.cli.render.jobs import duration_of, outcome
    from gproc.model.units import format_duration, format_size

    duration = duration_of(status, now=utc_now())
    took = "" if duration is None else f" after {format_duration(duration)}"
    return (
        f"the job {outcome(status)}{took}, with {format_size(status.output_bytes)} of output; "
        "the server is gone, nothing is left"
    )


def _step(text: str) -> None:
    sys.stdout.flush()
    note(text)
