"""Break things at random and print what was lost: nothing.

``python tests/chaos/run.py [FIGURE…] [--short | --full] [--json FILE]``; ``--list`` names the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from gproc_chaos.figure import Check, Stage
from gproc_chaos.figures import FIGURES
from gproc_chaos.table import Findings, document, markdown, table
from rich.console import Console


def main() -> int:
    """Run the figures that were asked for; return 1 unless everything is as it is wanted."""
    arguments = _parse()
    for number in (signal.SIGINT, signal.SIGTERM):  # in the background of a shell, the first would be ignored
        signal.signal(number, signal.default_int_handler)
    if arguments.list:
        for figure in FIGURES.values():
            print(f"{figure.name:<16} {figure.title}")  # noqa: T201 - that is what it is for
        return 0
    findings = Findings(_machine(), arguments.full, arguments.seed)
    home = Path(tempfile.mkdtemp(prefix="gproc-chaos-"))
    try:
        for name in arguments.figures or FIGURES:
            _run(name, findings, home, arguments)
    except KeyboardInterrupt:
        _say("interrupted: the table has what was done")
    finally:
        shutil.rmtree(home)
    Console(width=None if sys.stdout.isatty() else 160).print(table(findings, FIGURES))
    if arguments.json:
        arguments.json.write_text(json.dumps(document(findings), indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(findings, FIGURES))
    return int(not findings.is_ok)


def _run(name: str, findings: Findings, home: Path, arguments: argparse.Namespace) -> None:
    """Run one figure on a stage of its own, which is gone afterwards."""
    figure, began = FIGURES[name], time.monotonic()
    _say(f"{name}: {figure.title}")
    directory = home / name
    directory.mkdir()
    chance = random.Random(f"{arguments.seed} {name}")
    stage = Stage(
        directory=directory,
        full=arguments.full,
        chance=chance,
        say=(lambda text: _say(f"  {text}")) if arguments.verbose else lambda _: None,
    )
    try:
        findings.checks[name] = list(asyncio.run(figure.run(stage)))
    except Exception as error:  # noqa: BLE001 - one figure that broke must not cost the others; it is in the table
        traceback.print_exc()
        what = repr(error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error)
        findings.checks[name] = [Check("the figure itself", f"broke: {what[:200]}", "comes to its end", is_ok=False)]
    findings.seconds[name] = time.monotonic() - began
    for check in findings.checks[name]:
        _say(f"  {'ok' if check.is_ok else 'NOT OK'}: {check.what}: {check.seen} (wanted: {check.wanted})")
    shutil.rmtree(directory, ignore_errors=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _machine() -> dict[str, str]:
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "user": "root" if os.geteuid() == 0 else "not root",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"all by default: {', '.join(FIGURES)}")
    parser.set_defaults(full=False)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--short", dest="full", action="store_false", default=False, help="few rounds of each (the default)"
    )
    form.add_argument("--full", action="store_true", help="as many rounds as the table says")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeat the chance of a run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything found to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    parser.add_argument("--list", action="store_true", help="name the figures and end")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell every round")
    arguments = parser.parse_args()
    if unknown := set(arguments.figures) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
