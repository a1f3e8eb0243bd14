from __future__ import annotations

import io
import json

from gproc_bench.report import Findings, document, markdown, reasons, table
from gproc_bench.rows import Question, Row
from gproc_bench.stats import at_least
from gproc_bench.units import MIB, Unit, bytes_text
from rich.console import Console

QUESTION = Question(measure="replay", unit=Unit.THROUGHPUT, say_size=bytes_text, deciding_size=256 * MIB)


def row(theirs: float | None = 3.0, **more: object) -> Row:
    values: dict[str, object] = {
        "question": QUESTION,
        "size": 256 * MIB,
        "subject": "gproc asyncio",
        "against": "ssh",
        "ours": 1.0,
        "theirs": theirs,
        "reach": at_least(2.5),
    }
    return Row(**{**values, **more})  # type: ignore[arg-type]  # a test changes what it likes


def found(*rows: Row, **broken: str) -> Findings:
    return Findings({"python": "3.11"}, quick=False, rows=list(rows), broken=broken)


def shown(findings: Findings) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table(findings))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_row_shows_both_figures_the_ratio_the_reach_and_the_verdict() -> None:
    text = shown(found(row(our_growth=1.0, their_growth=0.98)))

    for part in (
        "replay",
        "gproc asyncio",
        "ssh",
        "256 MiB",
        "256 MiB/s",
        "85 MiB/s",
        "3.00",
        "≥ 2.5",
        "1.00 / 0.98",
        "reached",
    ):
        assert part in text


def test_a_missing_peer_is_named_once_with_its_reason() -> None:
    note = ["replay: ssh: sshd is not installed"]
    findings = found(row(None, notes=note), row(None, notes=note))

    assert "not measured" in shown(findings)
    assert reasons(findings) == ["not measured: replay: ssh: sshd is not installed"]


def test_a_broken_measure_is_in_the_table_and_explained() -> None:
    findings = found(live="CallFailed: no answer")

    assert "broken" in shown(findings)
    assert reasons(findings) == ["live broke: CallFailed: no answer"]


def test_a_remark_is_below_the_table_and_in_the_document() -> None:
    findings = found(row())
    findings.remarks.append("gproc uvloop: the server itself runs on asyncio")

    assert reasons(findings) == findings.remarks
    assert document(findings)["remarks"] == findings.remarks


def test_the_documentation_gets_the_deciding_rows_and_the_machine() -> None:
    text = markdown(found(row(), row(size=MIB)))

    assert "- python: 3.11" in text
    assert "| replay | gproc asyncio | ssh | 256 MiB | 256 MiB/s | 85 MiB/s | 3.00 | ≥ 2.5 | - / - | reached |" in text
    assert "| 1 MiB |" not in text


def test_all_is_reached_only_if_nothing_is_missed_missing_or_broken() -> None:
    assert found(row()).all_reached
    assert not found(row(2.0)).all_reached
    assert not found(row(None)).all_reached
    assert not found(row(), live="no answer").all_reached


def test_the_document_is_json_and_keeps_plain_costs() -> None:
    (entry,) = json.loads(json.dumps(document(found(row()))))["rows"]

    assert (entry["ours"], entry["theirs"], entry["ratio"], entry["unit"]) == (1.0, 3.0, 3.0, "seconds")
    assert (entry["verdict"], entry["reach"], entry["size"]) == ("reached", "≥ 2.5", 256 * MIB)
