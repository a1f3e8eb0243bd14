from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import click
import pytest
from rich.cells import cell_len
from rich.console import Console

from gproc.certs import CertificateKind, CertificateState, IssuedCertificate
from gproc.cli.commands import VERBS
from gproc.cli.live.screen import Screen
from gproc.cli.main import cli
from gproc.cli.render.certs import certificate_table, plain_certificates
from gproc.cli.render.escape import visible
from gproc.cli.render.help import draw_help
from gproc.cli.render.jobs import card_lines, job_card, job_table, json_text, outcome, plain_table
from gproc.cli.render.panes import Pane, draw_panes, summary_text
from gproc.model import JobState, JobStatus, Usage, make_job_id
from gproc.model.document import status_to_document

Check = Callable[[str, str], None]
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
WIDTHS = (80, 120)


def job(number: int, state: JobState, command: str, *args: str, ran: float = 60, **values: object) -> JobStatus:
    created = NOW - timedelta(minutes=7 * number)
    ended = created + timedelta(seconds=ran) if state.is_final else None
    fields: dict[str, object] = {
        "id": make_job_id(milliseconds=1_782_907_200_000 - 420_000 * number, chance=number * 7**40),
        "owner": "alice",
        "state": state,
        "command": command,
        "args": args,
        "pid": 4000 + number,
        "created_at": created,
        "started_at": created,
        "ended_at": ended,
    }
    return JobStatus(**{**fields, **values})  # type: ignore[arg-type]  # a test's defaults


JOBS = (
    job(1, JobState.RUNNING, "ping", "-c", "1000", "localhost", output_bytes=5321, name="heartbeat"),
    job(2, JobState.STOPPING, "make", "-j8", output_bytes=3 << 20),
    job(3, JobState.EXITED, "true", exit_code=0, ran=0.02),
    job(4, JobState.EXITED, "sh", "-c", "echo a long command that has to be cut; exit 7" * 3, exit_code=7, ran=3),
    job(5, JobState.SIGNALED, "./crash", signal="SIGSEGV"),
    job(6, JobState.STOPPED, "sleep", "1000", signal="SIGTERM", stopped_by="alice", name="nap\x1b[2J"),
    job(7, JobState.TIMED_OUT, "backup", "--all", signal="SIGKILL", ran=3600),
    job(8, JobState.LOST, "train", "größe=日本"),
    job(9, JobState.PENDING, "later", started_at=None),
)

FULL = job(
    6,
    JobState.STOPPED,
    "python",
    "train.py",
    "--epochs",
    "10",
    signal="SIGTERM",
    reason="stopped by alice: SIGTERM",
    stopped_by="alice",
    name="training",
    labels={"team": "vision", "run": "17"},
    output_bytes=5 << 30,
    dropped_bytes=1 << 20,
    usage=Usage(cpu_seconds=93.5, max_rss_bytes=700 << 20),
    limits={"memory_bytes": "enforced", "cpu_millis": "unavailable: no cgroup", "core_bytes": "enforced"},
)

CERTIFICATES = tuple(
    IssuedCertificate(
        name=name,
        kind=kind,
        serial=f"{number:040x}",
        not_before=NOW - timedelta(days=100),
        not_after=NOW + timedelta(days=days),
        hosts=hosts,
        revoked_at=NOW if state is CertificateState.REVOKED else None,
        state=state,
        cert=Path(f"pki/{name}.crt"),
        key=Path(f"pki/{name}.key"),
    )
    for number, (name, kind, state, days, hosts) in enumerate(
        [
            ("ca", CertificateKind.CA, CertificateState.VALID, 3550, ()),
            ("server", CertificateKind.SERVER, CertificateState.VALID, 724, ("localhost", "127.0.0.1")),
            ("alice", CertificateKind.CLIENT, CertificateState.VALID, 12, ()),
            ("bob", CertificateKind.CLIENT, CertificateState.REVOKED, 265, ()),
            ("carol", CertificateKind.CLIENT, CertificateState.EXPIRED, -1, ()),
        ]
    )
)


def printed(renderable: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_on_a_terminal(matches_snapshot: Check, width: int) -> None:
    text = printed(job_table(JOBS, now=NOW, width=width), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert all(visible(job.name) in text for job in JOBS)
    matches_snapshot(f"list-{width}", text)


@pytest.mark.parametrize("width", [40, 50, 60])
def test_a_narrow_list_leaves_columns_out_and_names_whole(width: int) -> None:
    text = printed(job_table([replace(FULL, name="a-rather-long-name")], now=NOW, width=width), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert "a-rather-long-name" in text
    assert FULL.id[:12] in text


def test_the_list_in_a_pipe(matches_snapshot: Check) -> None:
    matches_snapshot("list-pipe", plain_table(JOBS, now=NOW))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_one_job_of_a_very_long_name_leaves_the_others_readable(width: int) -> None:
    text = printed(job_table([replace(FULL, name="x" * 200), FULL], now=NOW, width=width), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    _, long, other = text.splitlines()
    assert "xxx…" in long
    assert FULL.id[:12] in other
    assert FULL.name in other
    assert outcome(FULL) in other


@pytest.mark.parametrize("width", WIDTHS)
def test_a_status_on_a_terminal(matches_snapshot: Check, width: int) -> None:
    matches_snapshot(f"status-{width}", printed(job_card(FULL, now=NOW), width))


def test_a_status_in_a_pipe_and_as_json(matches_snapshot: Check) -> None:
    matches_snapshot("status-lines", "".join(f"{name}: {text}\n" for name, text in card_lines(FULL, now=NOW)))
    matches_snapshot("status-json", json_text(status_to_document(FULL)))


@pytest.mark.parametrize("width", WIDTHS)
def test_certificates_on_a_terminal(matches_snapshot: Check, width: int) -> None:
    matches_snapshot(f"certs-{width}", printed(certificate_table(CERTIFICATES, now=NOW), width))


@pytest.mark.parametrize("width", [20, 40])
def test_names_of_certificates_are_whole_where_there_is_little_room(width: int) -> None:
    lines = printed(certificate_table(CERTIFICATES, now=NOW), width).splitlines()
    assert [line.split()[0] for line in lines] == ["name", *(each.name for each in CERTIFICATES)]


@pytest.mark.parametrize("width", [80, 120])
def test_a_very_long_name_of_a_certificate_leaves_the_states_of_all_readable(width: int) -> None:
    certificates = [replace(CERTIFICATES[0], name="n" * 64), *CERTIFICATES]
    text = printed(certificate_table(certificates, now=NOW, width=width), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert all(each.state.value in text and each.kind.value in text for each in certificates)
    assert "nnn…" in text or "n" * 64 in text


def test_certificates_in_a_pipe(matches_snapshot: Check) -> None:
    matches_snapshot("certs-pipe", plain_certificates(CERTIFICATES, now=NOW))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 30), (40, 12), (20, 5)])
def test_panes(matches_snapshot: Check, width: int, height: int) -> None:
    panes = []
    for number, status in enumerate(JOBS[:5]):
        screen = Screen()
        for line in range(20):
            screen.feed(f"\x1b[3{number + 1}mjob {number}\x1b[0m line {line}\n".encode())
        screen.feed(b"\r 50% ====\r100% ========")
        panes.append(Pane(status, screen, status.id[:12], 2048))
    text = printed(draw_panes(panes, width=width, height=height, now=NOW), width)
    assert len(text.splitlines()) <= height
    assert all(len(line) <= width for line in text.splitlines())
    matches_snapshot(f"panes-{width}x{height}", text)


def test_the_line_at_the_end(matches_snapshot: Check) -> None:
    matches_snapshot("summary", printed(summary_text(JOBS[2:8], took=timedelta(seconds=75)), 120))


NAMES = cli.context_settings["help_option_names"]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_pages(matches_snapshot: Check, verb: str) -> None:
    command: click.Command = import_module(f"gproc.cli.commands.{verb}").command if verb else cli
    root = click.Context(cli, info_name="gproc", max_content_width=100, terminal_width=80, help_option_names=NAMES)
    ctx = click.Context(command, info_name=verb, parent=root, max_content_width=100) if verb else root
    matches_snapshot(f"help-{verb or 'gproc'}", click.Command.get_help(command, ctx))


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_pages_drawn_for_a_terminal_fit_it_and_say_the_same_options(verb: str) -> None:
    command: click.Command = import_module(f"gproc.cli.commands.{verb}").command if verb else cli
    root = click.Context(cli, info_name="gproc")
    ctx = click.Context(command, info_name=verb, parent=root) if verb else root
    drawn = click.unstyle(draw_help(command, ctx, width=80))
    assert all(len(line) <= 80 for line in drawn.splitlines())
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.opts[-1] in drawn
