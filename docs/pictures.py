"""Take the pictures of the documentation: real commands, on a real terminal, against a real server.

Run it with ``nox -s pictures``; it writes `docs/images/*.svg`. A command runs on a pseudo-terminal, `pyte` keeps the
screen as a terminal would, and rich draws that screen as SVG.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no types
import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

from gproc.testing import ThreadedServer, threaded_server

IMAGES = Path(__file__).parent / "images"
LIMIT = 60.0
# Fonts that a reader's machine has: a picture in a repository should not call anybody.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono"
)
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}


def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with threaded_server() as server:
        gproc = Terminal(server)
        gproc.take("demo", "demo", columns=96, rows=19)
        begin_jobs(gproc)
        gproc.take("watch", "watch", columns=110, rows=30, until=everybody_speaks)
        gproc.take("list", "list", columns=110, rows=12)
        gproc.quietly("stop", *gproc.quietly("list", "--running", "--json", ids=True))


def begin_jobs(gproc: Terminal) -> None:
    """Start some jobs that look like work."""
    train = (
        r'for i in $(seq 1 99); do printf "epoch %2d  \033[32mloss 0.%04d\033[0m\n" $i $((9999 / i)); sleep 0.3; done'
    )
    build = r'for i in $(seq 1 99); do printf "\033[1m[%3d/240]\033[0m CC src/part_%d.o\n" $i $i; sleep 0.15; done'
    fetch = r'for i in $(seq 1 99); do printf "\rfetching archive.tar  \033[36m%3d %%\033[0m" $i; sleep 0.2; done; echo'
    warns = r'for i in $(seq 1 99); do echo "request $i served"; sleep 0.5; echo "slow query" >&2; sleep 0.4; done'
    gproc.quietly("run", "-n", "report", "sh", "-c", "echo 42 rows; exit 0")
    gproc.quietly("run", "-n", "migrate", "sh", "-c", "echo no such table >&2; exit 3")
    gproc.quietly("start", "-n", "train", "sh", "-c", train)
    gproc.quietly("start", "-n", "build", "sh", "-c", build)
    gproc.quietly("start", "-n", "fetch", "sh", "-c", fetch)
    gproc.quietly("start", "-n", "serve", "sh", "-c", warns)


def everybody_speaks(shown: str) -> bool:
    """Whether each job has shown something, and the first of them a little more."""
    return all(word in shown for word in ("CC src", "fetching", "slow query")) and shown.count("epoch") > 8


class Terminal:
    """A terminal on which alice types commands."""

    def __init__(self, server: ThreadedServer) -> None:
        files = server.files("alice")
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GPROC_")},
            "GPROC_ADDR": server.addr,
            "GPROC_CACERT": str(files.cacert),
            "GPROC_CERT": str(files.cert),
            "GPROC_KEY": str(files.key),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }

    def quietly(self, *args: str, ids: bool = False) -> list[str]:
        """Run a command for its effect; with *ids*, return the ids that it prints."""
        printed, _ = self._run(args, columns=200, rows=50, until=None, environ={"NO_COLOR": "1"})
        return re.findall(r'"id": "(\w+)"', printed) if ids else []

    def take(
        self, name: str, *args: str, columns: int = 90, rows: int = 24, until: Callable[[str], bool] | None = None
    ) -> None:
        """Run a command until it ends, or until the screen fulfils *until*, and draw the screen."""
        _, screen = self._run(args, columns=columns, rows=rows, until=until, environ={})
        console = Console(record=True, file=StringIO(), width=columns, force_terminal=True, color_system="truecolor")
        for line in _lines(screen):
            console.print(line, overflow="crop", no_wrap=True)
        svg = console.export_svg(title=f"gproc {' '.join(args)}", code_format=FORMAT, unique_id=f"gproc-{name}")
        (IMAGES / f"{name}.svg").write_text(svg)

    def _run(
        self,
        args: tuple[str, ...],
        *,
        columns: int,
        rows: int,
        until: Callable[[str], bool] | None,
        environ: Mapping[str, str],
    ) -> tuple[str, pyte.Screen]:
        screen = pyte.Screen(columns, rows)
        stream = pyte.ByteStream(screen)
        command = ["-m", "gproc", *args]
        child = pexpect.spawn(sys.executable, command, env={**self._environ, **environ}, dimensions=(rows, columns))
        printed, give_up_at = b"", time.monotonic() + LIMIT
        while time.monotonic() < give_up_at:
            try:
                data = child.read_nonblocking(65536, timeout=1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                break
            printed += data
            stream.feed(data)
            if until is not None and until("\n".join(screen.display)):
                break
        child.close(force=True)
        return printed.decode(errors="replace"), screen


def _lines(screen: pyte.Screen) -> list[Text]:
    """Return the screen in rich's terms, without the empty lines at its end."""
    lines = []
    for row in range(screen.lines):
        line = Text()
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            style = Style(color=_colour(cell.fg), bgcolor=_colour(cell.bg), bold=cell.bold, reverse=cell.reverse)
            line.append(cell.data, style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    name = COLOURS.get(name, name)
    return f"bright_{name.removeprefix('bright')}" if name.startswith("bright") and "_" not in name else name


if __name__ == "__main__":
    main()
