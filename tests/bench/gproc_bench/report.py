"""What a run found: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from gproc_bench.rows import Row, Verdict

__all__ = ["Findings", "document", "markdown", "reasons", "table"]

COLOURS = {Verdict.REACHED: "green", Verdict.MISSED: "bold red", Verdict.NOT_MEASURED: "yellow"}


@dataclass
class Findings:
    """All rows of a run, and the measures that broke before they had any."""

    machine: Mapping[str, str]
    quick: bool
    rows: list[Row] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def all_reached(self) -> bool:
        """Whether nothing is missed, missing or broken."""
        bad = {Verdict.MISSED, Verdict.NOT_MEASURED}
        return not self.broken and not any(row.verdict in bad for row in self.rows)


def table(findings: Findings) -> Table:
    """Return all rows as a table; sizes other than the deciding one are dimmed: they show the growth."""
    quick = " (quick: smaller sizes, so the verdict is only a hint)" if findings.quick else ""
    drawn = Table(title=f"Gproc beside its peers, in one run{quick}", title_justify="left")
    for heading in ("Measure", "Gproc on", "Against"):
        drawn.add_column(heading, overflow="fold")
    for heading in ("Size", "Gproc", "Peer", "Ratio", "Reach"):
        drawn.add_column(heading, justify="right", overflow="fold")
    drawn.add_column("Growth", justify="right", overflow="fold")
    drawn.add_column("Verdict", overflow="fold")
    before = ""
    for row in findings.rows:
        if before and row.question.measure != before:
            drawn.add_section()
        before = row.question.measure
        drawn.add_row(*_cells(row), style="" if row.is_deciding else "dim")
    for name in findings.broken:
        drawn.add_section()
        drawn.add_row(name, "", "", "", "", "", "", "", "", Text("broken", style="bold red"))
    return drawn


def reasons(findings: Findings) -> list[str]:
    """Return who took no part and why, each once, the measures that broke, and what else one has to know."""
    absent = {note: None for row in findings.rows for note in row.notes}
    broken = [f"{name} broke: {reason}" for name, reason in findings.broken.items()]
    return [*(f"not measured: {note}" for note in absent), *broken, *findings.remarks]


def document(findings: Findings) -> dict[str, Any]:
    """Return the run as one JSON document; costs are seconds or bytes."""
    return {
        "machine": dict(findings.machine),
        "quick": findings.quick,
        "rows": [_entry(row) for row in findings.rows],
        "broken": findings.broken,
        "remarks": findings.remarks,
    }


def markdown(findings: Findings) -> str:
    """Return the machine and the deciding rows for `docs/explanation/performance.md`."""
    heading = ("Measure", "Gproc on", "Against", "Size", "Gproc", "Peer", "Ratio", "Reach", "Growth", "Verdict")
    rows = [[str(cell) for cell in _cells(row)] for row in findings.rows if row.is_deciding]
    lines = [heading, ["---"] * len(heading), *rows]
    taken_on = [f"- {what}: {which}" for what, which in findings.machine.items()]
    below = [f"- {reason}" for reason in reasons(findings)]
    return "\n".join([*taken_on, "", *(f"| {' | '.join(line)} |" for line in lines), "", *below]) + "\n"


def _cells(row: Row) -> Sequence[Text | str]:
    question = row.question
    verdict = Text(row.verdict.value, style=COLOURS.get(row.verdict, ""))
    return (
        " ".join(filter(None, (question.measure, question.label))),
        row.subject,
        row.against,
        question.say_size(row.size),
        _shown(row, row.ours),
        _shown(row, row.theirs),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.reach is None else str(row.reach),
        " / ".join("-" if growth is None else f"{growth:.2f}" for growth in (row.our_growth, row.their_growth)),
        verdict,
    )


def _shown(row: Row, cost: float | None) -> str:
    return "" if cost is None else row.question.unit.show(cost, row.size)


def _entry(row: Row) -> dict[str, Any]:
    return {
        "measure": row.question.measure,
        "label": row.question.label,
        "unit": "bytes" if row.question.unit.value == "MiB" else "seconds",
        "subject": row.subject,
        "against": row.against,
        "size": row.size,
        "ours": row.ours,
        "theirs": row.theirs,
        "ratio": row.ratio,
        "reach": None if row.reach is None else str(row.reach),
        "exponent": row.our_growth,
        "their_exponent": row.their_growth,
        "deciding": row.is_deciding,
        "verdict": row.verdict.name.lower(),
        "notes": list(row.notes),
    }
