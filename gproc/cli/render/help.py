"""Help pages for a terminal, drawn by rich-click."""

from __future__ import annotations

from typing import Any, cast

import click
from rich_click.rich_help_configuration import RichHelpConfiguration
from rich_click.rich_help_formatter import RichHelpFormatter
from rich_click.rich_help_rendering import get_rich_epilog, get_rich_help_text
from rich_click.rich_panel import RichCommandPanel, RichOptionPanel

from gproc.cli.commands import SECTIONS, VERBS

__all__ = ["draw_help"]

_WIDEST = 100


def draw_help(command: click.Command, ctx: click.Context, *, width: int | None = None) -> str:
    """Return the help page of *command* as text with colours; as wide as the terminal, 100 columns at most."""
    formatter = RichHelpFormatter(config=_configuration(), width=width)
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)))
    # rich-click types its functions for its own subclasses, and uses only what every click command has.
    rich_context = cast("Any", ctx)
    get_rich_help_text(command, rich_context, formatter)
    options = [p.opts[0] for p in command.get_params(ctx) if isinstance(p, click.Option) and not p.hidden]
    if isinstance(command, click.Group):
        listing, panels = _listing(command, ctx)
        for panel in panels:
            formatter.write(panel.render(cast("Any", listing), rich_context, formatter))
    option_panel = RichOptionPanel("Options", options=options)
    formatter.write(option_panel.render(cast("Any", command), rich_context, formatter))
    get_rich_epilog(command, rich_context, formatter)
    return formatter.getvalue().rstrip("\n")


def _configuration() -> RichHelpConfiguration:
    return RichHelpConfiguration(
        theme="default-box",
        enable_theme_env_var=False,
        max_width=_WIDEST,
        force_terminal=True,
        text_markup="ansi",
        style_option="bold cyan",
        style_argument="bold cyan",
        style_command="bold cyan",
        style_commands_table_column_width_ratio=(1, 6),  # the summaries of all panels stand below each other
        style_metavar="yellow",
        style_usage="bold",
        style_usage_command="bold green",
        style_options_panel_border="bright_black",
        style_commands_panel_border="bright_black",
        style_options_panel_title_style="bold",
        style_commands_panel_title_style="bold",
        style_helptext="",
        style_helptext_first_line="",
        style_epilog_text="bright_black",
    )


def _listing(group: click.Group, ctx: click.Context) -> tuple[click.Group, list[RichCommandPanel]]:
    """Return a group of bare names and summaries, so that drawing imports no verb, and the panels they go in."""
    if ctx.parent is None:
        listing = click.Group(commands={verb.name: _bare(verb.name, verb.summary) for verb in VERBS.values()})
        return listing, [
            RichCommandPanel(section, commands=[verb.name for verb in VERBS.values() if verb.section == section])
            for section in SECTIONS
        ]
    names = group.list_commands(ctx)
    commands = {name: _bare(name, group.commands[name].get_short_help_str(limit=200)) for name in names}
    return click.Group(commands=commands), [RichCommandPanel("Commands", commands=names)]


def _bare(name: str, summary: str) -> click.Command:
    return click.Command(name, help=summary, short_help=summary)
