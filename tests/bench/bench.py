"""Measure Gproc beside its peers and print the ratios.

``python tests/bench/bench.py [MEASURE…] [--quick] [--json FILE]``; ``--list`` names the measures.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

from gproc_bench.machine import describe
from gproc_bench.measures import MEASURES
from gproc_bench.report import Findings, document, markdown, reasons, table
from gproc_bench.session import Loop, Options, Session, session
from rich.console import Console


def main() -> int:
    """Run the measures that were asked for; return 1 if one broke, or with ``--check`` if a reach is not met."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is ended
    findings = Findings(describe(), arguments.quick)
    with session(_options(arguments)) as bench:
        for name in arguments.measures or MEASURES:
            _measure(bench, name, findings)
        findings.remarks += bench.remarks
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(findings))
    for reason in reasons(findings):
        console.print(reason, markup=False, highlight=False)
    if arguments.json:
        arguments.json.write_text(json.dumps(document(findings), indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(findings))
    return int(bool(findings.broken) or (arguments.check and not findings.all_reached))


def _measure(bench: Session, name: str, findings: Findings) -> None:
    measure = MEASURES[name]
    bench.say(f"{name}: {measure.title}")
    try:
        findings.rows += measure.run(bench)
    except Exception as problem:  # noqa: BLE001 - one broken measure must not cost the others; it is named in the table
        traceback.print_exc()
        findings.broken[name] = f"{type(problem).__name__}: {problem}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"all by default: {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything found to FILE")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write machine and verdicts for the documentation"
    )
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "both"], help="Gproc's; default: all installed")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure N times instead of each measure's own number")
    parser.add_argument("--own-home", action="store_true", help="let ssh sessions read your shell's start-up files")
    parser.add_argument("--check", action="store_true", help="exit with 1 unless every reach is met")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every sample")
    parser.add_argument("--list", action="store_true", help="show the measures and leave")
    arguments = parser.parse_args()
    if arguments.list:
        sys.stdout.writelines(f"{measure.name:12} {measure.title}\n" for measure in MEASURES.values())
        sys.exit(0)
    for name in arguments.measures:
        if name not in MEASURES:
            parser.error(f"no measure is called {name!r}; there are {', '.join(MEASURES)}")
    return arguments


def _options(arguments: argparse.Namespace) -> Options:
    has_uvloop = find_spec("uvloop") is not None
    chosen = arguments.loop or ("both" if has_uvloop else "asyncio")
    if chosen != "asyncio" and not has_uvloop:
        sys.exit("bench: uvloop is not installed; install gproc[fast], or say --loop asyncio")
    loops = tuple(Loop) if chosen == "both" else (Loop(chosen),)
    return Options(
        quick=arguments.quick,
        loops=loops,
        rounds=arguments.rounds,
        own_home=arguments.own_home,
        verbose=arguments.verbose,
    )


if __name__ == "__main__":
    sys.exit(main())
