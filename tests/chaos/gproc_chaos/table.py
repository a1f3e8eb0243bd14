"""The figures: a table for people, JSON for programs, Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from gproc_chaos.figure import Check, Figure

__all__ = ["Findings", "document", "markdown", "table"]


@dataclass
class Findings:
    """What a run of the figures found."""

    machine: Mapping[str, str]
    full: bool
    seed: int
    checks: dict[str, list[Check]] = field(default_factory=dict)
    """By the name of the figure; one that broke has a single check that says so."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether everything is as it is wanted."""
        return all(check.is_ok for checks in self.checks.values() for check in checks)


def table(findings: Findings, figures: Mapping[str, Figure]) -> Table:
    """Return the table; each figure has a row for everything that was looked at."""
    form = "full" if findings.full else "short: fewer rounds"
    drawn = Table(title=f"Nothing is lost ({form}; seed {findings.seed})", title_justify="left")
    drawn.add_column("Fault", overflow="fold", max_width=44)
    for heading in ("What was looked at", "Seen", "Wanted"):
        drawn.add_column(heading, overflow="fold")
    drawn.add_column("")
    for name, checks in findings.checks.items():
        for position, check in enumerate(checks):
            title = f"{figures[name].title} ({findings.seconds[name]:.0f} s)" if position == 0 else ""
            verdict = Text("ok", style="green") if check.is_ok else Text("NOT OK", style="bold red")
            drawn.add_row(Text(title), check.what, Text(check.seen), Text(check.wanted), verdict)
        drawn.add_section()
    return drawn


def document(findings: Findings) -> dict[str, Any]:
    """Return the run as one JSON document."""
    return {
        "machine": dict(findings.machine),
        "full": findings.full,
        "seed": findings.seed,
        "ok": findings.is_ok,
        "figures": {
            name: {"seconds": round(findings.seconds[name], 1), "checks": [asdict(check) for check in checks]}
            for name, checks in findings.checks.items()
        },
    }


def markdown(findings: Findings, figures: Mapping[str, Figure]) -> str:
    """Return the table for the documentation."""
    lines = ["| Fault | What was looked at | Seen | Wanted | |", "|---|---|---|---|---|"]
    for name, checks in findings.checks.items():
        for position, check in enumerate(checks):
            title = figures[name].title if position == 0 else ""
            cells = (title, check.what, check.seen, check.wanted, "ok" if check.is_ok else "**not ok**")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
