"""All figures, in the order of the table."""

from __future__ import annotations

from gproc_chaos.figure import Figure
from gproc_chaos.figures import bounds, damage, disk, followers, joins, kills, leaks, lines, races, recovery, trees

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
        Figure(name="shim-frozen", title="the shim stopped with SIGSTOP for a while", run=kills.shim_frozen),
        Figure(name="start-kill", title="kill -9 of the server during a start", run=kills.start_killed),
        Figure(name="line-cut", title="the line cut at random moments, 3 readers", run=lines.line_cut),
        Figure(name="line-slow", title="the line delayed, trickling and stalled", run=lines.line_slow),
        Figure(
            name="start-retried",
            title="Start asked again with the same request id over a line that is cut",
            run=lines.start_retried,
        ),
        Figure(name="damage", title="state damaged at random places", run=damage.state_damaged),
        Figure(name="joins", title="joins at random offsets during output", run=joins.joined_anywhere),
        Figure(name="disk", title="disk full and freed while a job writes", run=disk.disk_full),
        Figure(name="disk-end", title="a job ends while the disk is full", run=disk.ended_while_full),
        Figure(
            name="descendants",
            title="setsid and double-fork descendants that ignore TERM, half of them stopped with SIGSTOP",
            run=trees.stopped,
        ),
        Figure(name="orphans", title="descendants of a job whose shim is killed", run=trees.orphaned),
        Figure(name="leaks", title="jobs started and stopped, followers cancelled", run=leaks.leaks),
        Figure(name="stop-race", title="Stop racing the natural end of jobs", run=races.stop_raced),
        Figure(name="adoption", title="the server comes back to many jobs, one shim mute", run=recovery.adopted),
        Figure(name="stop-survives", title="kill -9 of the server during a stop", run=recovery.stop_survives),
        Figure(name="bounds", title="quotas, caps of output, retention", run=bounds.bounds),
        Figure(name="descriptors", title="the server has no descriptor left", run=bounds.descriptors_exhausted),
        Figure(name="stalled", title="followers of a flood, half of them stalled", run=followers.stalled),
    )
}
