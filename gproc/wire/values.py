"""Statuses and pages of them, between values and bytes without a message in between.

betterproto takes a millisecond to make, write or read one status, and a page has hundreds; and to import it takes a
fifth of a short command. What is here does the same for what servers answer: fields in the order of their numbers,
absent if they are as proto3 has them by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gproc.model import JobPage, JobStatus, Usage
from gproc.wire import schema, tags
from gproc.wire.prescan import Bounds, scan
from gproc.wire.scalars import STATE_NUMBERS, STATES, enum_from_number
from gproc.wire.schema import Field, Schema

__all__ = [
    "Removed",
    "page_from_bytes",
    "page_to_bytes",
    "removed_from_bytes",
    "status_from_bytes",
    "status_to_bytes",
]

LARGEST_PAGE_BYTES = 1024 * 1024
"""Most gRPC clients take no message of more than 4 MiB, and a client that does not read keeps us one for each call."""


class Removed(NamedTuple):
    """A job is forgotten: nothing more is said about it."""


def status_to_bytes(status: JobStatus) -> bytes:
    """Return the ``JobStatus``; text that UTF-8 cannot express is escaped, never refused."""
    return b"".join(
        (
            tags.text(1, status.id),
            tags.text(2, status.owner),
            tags.number(3, STATE_NUMBERS[status.state]),
            tags.text(4, status.command),
            tags.texts(5, status.args),
            tags.text(6, status.name),
            tags.entries(7, status.labels),
            tags.number(8, status.pid or 0),
            tags.present(9, status.exit_code),
            tags.text(10, status.signal),
            tags.text(11, status.reason),
            tags.moment(12, status.created_at),
            tags.moment(13, status.started_at),
            tags.moment(14, status.ended_at),
            tags.number(15, status.output_bytes),
            tags.number(16, status.dropped_bytes),
            tags.text(17, status.stopped_by),
            b"" if status.usage is None else tags.field(18, _usage(status.usage)),
            tags.entries(19, status.limits),
        )
    )


def page_to_bytes(page: JobPage) -> bytes:
    """Return the ``ListResponse``; jobs that make it too long are left to the next page."""
    jobs, size = list[bytes](), 0
    for at, status in enumerate(page.jobs):
        job = tags.field(1, status_to_bytes(status))
        size += len(job)
        if at and size > LARGEST_PAGE_BYTES:
            page = JobPage.before_others(page.jobs[:at])
            break
        jobs.append(job)
    return b"".join(jobs) + tags.text(2, page.next_page_token)


def _usage(usage: Usage) -> bytes:
    return tags.double(1, usage.cpu_seconds) + tags.number(2, usage.max_rss_bytes)


def status_from_bytes(data: bytes, bounds: Bounds) -> JobStatus:
    """Return the status in a ``JobStatus``; raises `InvalidArgument`, and nothing else."""
    return _read_status(scan(data, STATUS, bounds))


def page_from_bytes(data: bytes, bounds: Bounds) -> JobPage:
    """Return the page in a ``ListResponse``; raises `InvalidArgument`, and nothing else."""
    jobs: list[JobStatus] = []
    token = ""
    for number, value in tags.fields_of(scan(data, PAGE, bounds)):
        if number == 1:
            jobs.append(_read_status(value))
        else:
            token = tags.read_text(value)
    return JobPage(tuple(jobs), token)


def removed_from_bytes(data: bytes, bounds: Bounds) -> Removed:
    """Return what is in a ``RemoveResponse``; raises `InvalidArgument`, and nothing else."""
    scan(data, REMOVED, bounds)
    return Removed()


def _read_status(data: bytes) -> JobStatus:
    found: dict[str, Any] = {"id": "", "owner": "", "state": 0, "command": ""}
    args: list[str] = []
    maps: dict[int, dict[str, str]] = {7: {}, 19: {}}
    for number, value in tags.fields_of(data):
        field, read = _STATUS[number]
        if number == 5:
            args.append(read(value))
        elif number in maps:
            maps[number].update((read(value),))
        else:
            found[field.name] = read(value)
    found["state"] = enum_from_number(found["state"], STATES, "state")
    return JobStatus(args=tuple(args), labels=maps[7], limits=maps[19], **found)


def _read_usage(data: bytes) -> Usage:
    parts = dict(tags.fields_of(data))
    return Usage(cpu_seconds=tags.read_double(parts[1]) if 1 in parts else 0.0, max_rss_bytes=parts.get(2, 0))


def _read_pid(number: int) -> int | None:
    return tags.read_int32(number) or None


USAGE = Schema("Usage", {1: schema.double("cpu_seconds"), 2: schema.number("max_rss_bytes")})
_STATUS: dict[int, tuple[Field, Callable[[Any], Any]]] = {
    1: (schema.text("id"), tags.read_text),
    2: (schema.text("owner"), tags.read_text),
    3: (schema.number("state"), tags.read_int32),
    4: (schema.text("command"), tags.read_text),
    5: (schema.texts("args"), tags.read_text),
    6: (schema.text("name"), tags.read_text),
    7: (schema.entries("labels"), tags.read_entry),
    8: (schema.number("pid"), _read_pid),
    9: (schema.number("exit_code"), tags.read_int32),
    10: (schema.text("signal"), tags.read_text),
    11: (schema.text("reason"), tags.read_text),
    12: (schema.part("created_at", schema.TIMESTAMP), tags.read_moment),
    13: (schema.part("started_at", schema.TIMESTAMP), tags.read_moment),
    14: (schema.part("ended_at", schema.TIMESTAMP), tags.read_moment),
    15: (schema.number("output_bytes"), int),
    16: (schema.number("dropped_bytes"), int),
    17: (schema.text("stopped_by"), tags.read_text),
    18: (schema.part("usage", USAGE), _read_usage),
    19: (schema.entries("limits"), tags.read_entry),
}
STATUS = Schema("JobStatus", {number: field for number, (field, _) in _STATUS.items()})
PAGE = Schema("ListResponse", {1: schema.part("jobs", STATUS), 2: schema.text("next_page_token")})
REMOVED = Schema("RemoveResponse", {})
