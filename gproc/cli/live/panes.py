"""Panes on a terminal, drawn again while jobs run."""

from __future__ import annotations

import asyncio
import os
import signal
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from gproc.cli.console import note, utc_now
from gproc.cli.live.screen import Screen
from gproc.cli.render.escape import visible
from gproc.cli.render.jobs import short_ids
from gproc.cli.render.panes import Pane, draw_panes
from gproc.model import Chunk, Gap, JobId, JobStatus

__all__ = ["LivePanes"]


class LivePanes:
    """While entered, the terminal shows the panes, and nothing else; afterwards, and while stopped, it is as it was."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._statuses: dict[JobId, JobStatus] = {}
        self._screens: dict[JobId, Screen] = {}
        self._seen: dict[JobId, int] = {}
        self._said: list[str] = []
        self._live = Live(console=console, screen=True, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, self._step_aside)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
        self._live.stop()
        for text in self._said:
            note(text)

    def _step_aside(self) -> None:
        """Give the terminal back to the shell before Ctrl-Z stops us; take it again when we go on."""
        self._live.stop()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._live.start()

    def job(self, status: JobStatus) -> None:
        """Take note of a new job, or of a change."""
        self._statuses[status.id] = status
        self._screens.setdefault(status.id, Screen())

    async def output(self, job_id: JobId, piece: Chunk | Gap) -> None:
        """Take note of output."""
        if isinstance(piece, Chunk):
            self._screens[job_id].feed(piece.data)
            self._seen[job_id] = piece.offset + len(piece.data)
        else:
            self._screens[job_id].feed(f"\n\x1b[33m[{piece.bytes} bytes not kept here]\x1b[0m\n".encode())

    def say(self, text: str) -> None:
        """Tell something about the watching itself: in the last line now, and again when the panes are gone."""
        self._said.append(text)

    def redraw(self) -> None:
        """Draw everything, in the size that the terminal has now."""
        width, height = self._console.size
        shown = short_ids(list(self._statuses))
        panes = [
            Pane(status, self._screens[job_id], shown[job_id], self._seen.get(job_id, 0))
            for job_id, status in self._statuses.items()
        ]
        news = visible(self._said[-1]) if self._said else ""
        self._live.update(draw_panes(panes, width=width, height=height, now=utc_now(), news=news), refresh=True)
