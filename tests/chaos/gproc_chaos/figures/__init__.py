"""All figures, in the order of the table."""

from __future__ import annotations

from gproc_chaos.figure import Figure
from gproc_chaos.figures import damage, joins, kills, lines

__all__ = ["FIGURES"]

FIGURES = {
    figure.name: figure
    for figure in (
        Figure(
            name="server-kill",
            title="kill -9 of the server at random moments, while a job writes and 3 readers follow",
            run=kills.server_killed,
        ),
        Figure(name="shim-kill", title="kill -9 of the shim at random moments", run=kills.shim_killed),
        Figure(name="both-kill", title="kill -9 of server and shim together", run=kills.both_killed),
        Figure(name="line-cut", title="the line cut at random moments, 3 readers", run=lines.line_cut),
        Figure(name="line-slow", title="the line delayed, trickling and stalled", run=lines.line_slow),
        Figure(
            name="start-retried",
            title="Start asked again with the same request id over a line that is cut",
            run=lines.start_retried,
        ),
        Figure(name="damage", title="state damaged at random places", run=damage.state_damaged),
        Figure(name="joins", title="joins at random offsets during output", run=joins.joined_anywhere),
    )
}
