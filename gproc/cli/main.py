"""Find the verb, run it, and turn whatever comes of it into an exit code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import CONTEXT, FILE, SERVER, Group, complete_contexts
from gproc.cli.commands import SECTIONS, VERBS
from gproc.cli.console import error_line, show_place

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["cli", "run"]

INTERRUPTED = 130
READER_LEFT = 141  # 128 + SIGPIPE: what a shell reports of any program in front of `| head`
OWN_FAULT = 125
BAD_USAGE = 2


class _Left(Exception):
    """Nobody waits for us any more. Carries the exit code past click, which has ideas of its own about both causes."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextlib.contextmanager
def _people_may_leave() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _Left(READER_LEFT) from error
    except KeyboardInterrupt as error:
        raise _Left(INTERRUPTED) from error
    except SystemExit as error:  # SIGTERM or SIGHUP, by `run_async`
        raise _Left(error.code if isinstance(error.code, int) else OWN_FAULT) from error


class LazyGroup(Group):
    """All verbs. Knows their names and summaries; imports a verb when it is used."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line."""
        with _people_may_leave():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Do what the verb does."""
        with _people_may_leave():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the verbs, in the order of the help page."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the verb called *cmd_name*."""
        if cmd_name not in VERBS:
            return None
        command = import_module(f"gproc.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 (a verb's file that has none is our mistake)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs and options that begin with what was typed; no verb is imported for it."""
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=verb.summary) for name, verb in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs, section by section."""
        for section in SECTIONS:
            with formatter.section(section):
                rows = [(verb.name, verb.summary) for verb in VERBS.values() if verb.section == section]
                formatter.write_dl(rows, col_spacing=12 - max(len(name) for name, _ in rows))


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from gproc import __version__

        click.echo(f"gproc {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each setting is taken from its option, else from the environment, else from the context.",
)
@click.option("--addr", metavar="HOST:PORT", type=SERVER, help="The server.  [GPROC_ADDR]")
@click.option("--cacert", metavar="FILE", type=FILE, help="Certificate of the authority to trust.  [GPROC_CACERT]")
@click.option(
    "--cert", metavar="FILE", type=FILE, help="Your certificate; its common name is who you are.  [GPROC_CERT]"
)
@click.option("--key", metavar="FILE", type=FILE, help="The key of your certificate.  [GPROC_KEY]")
@click.option(
    "--context",
    metavar="NAME",
    type=CONTEXT,
    shell_complete=complete_contexts,
    help="Settings remembered under this name.  [GPROC_CONTEXT]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, /, **flags: str | None) -> None:
    """Run Linux processes on a server over mutual TLS, and follow every byte of their output."""
    ctx.obj = flags


_OF_ALL_COMMANDS = frozenset(name for param in cli.params for name in param.opts)


def run(args: Sequence[str]) -> int:
    """Run the command line *args* and return its exit code. Whatever goes wrong becomes one line on stderr."""
    try:
        code = cli.main(list(args), prog_name="gproc", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        error_line(_usage_problem(error))
        return BAD_USAGE
    except _Left as leaving:
        return leaving.code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except SystemExit as error:  # click's completion; the end is ours, for Python's own waits for every thread
        code = error.code
    except BrokenPipeError:
        return READER_LEFT
    except Exception as error:  # noqa: BLE001 (the last resort: people never see a traceback)
        return _failed(error)
    return code if isinstance(code, int) else 0


def _failed(error: Exception) -> int:
    from gproc.errors import GprocError

    if _was_interrupted(error):
        return INTERRUPTED
    show_place(error)
    if isinstance(error, GprocError):
        error_line(str(error))
        return error.exit_code
    if isinstance(error, click.ClickException):
        error_line(error.format_message())
        return OWN_FAULT
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        error_line(f"{name}{error.strerror or error}")
        return OWN_FAULT
    error_line(
        f"internal error: {type(error).__name__}: {error}; this is a fault of gproc, please report it "
        "(GPROC_DEBUG=1 shows where)"
    )
    return OWN_FAULT


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is at the bottom of this: some libraries, interrupted, raise something of their own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _usage_problem(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "gproc"
    verb = path.removeprefix("gproc").strip()
    if verb and isinstance(error, click.NoSuchOption) and error.option_name in _OF_ALL_COMMANDS:
        return f"{verb}: {error.option_name} is said before the command: `gproc {error.option_name} ... {verb}`"
    problem = error.format_message().rstrip(".")
    asks = "" if "`gproc " in problem else f"; see `{path} --help`"
    return f"{verb}: {problem}{asks}" if verb else f"{problem}{asks}"
