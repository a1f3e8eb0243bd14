"""Jobs as plain JSON documents: one form for the records on disk and for ``--json``.

Field names are those of the proto, states are lower-case words, times are RFC 3339, durations are seconds, and what is
absent is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gproc.model.job import JobRequest, JobStatus, Limits, OutputPolicy, StopPolicy, TerminalSize, Usage
from gproc.model.spec import JobSpec, RunAs
from gproc.model.state import JobState
from gproc.model.units import parse_signal

__all__ = [
    "Document",
    "format_time",
    "parse_time",
    "spec_from_document",
    "spec_to_document",
    "status_from_document",
    "status_to_document",
]

Document = dict[str, Any]


def format_time(time: datetime) -> str:
    """Return *time* in RFC 3339, in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Return the moment written in RFC 3339; raises `ValueError`."""
    return datetime.fromisoformat(text)


def status_to_document(status: JobStatus) -> Document:
    """Return the document of a status."""
    document: Document = {
        "id": status.id,
        "owner": status.owner,
        "state": status.state.value,
        "command": status.command,
        "args": list(status.args),
        "name": status.name,
        "labels": dict(status.labels),
        "pid": status.pid,
        "exit_code": status.exit_code,
        "signal": status.signal,
        "reason": status.reason,
        "created_at": _time_or_none(status.created_at),
        "started_at": _time_or_none(status.started_at),
        "ended_at": _time_or_none(status.ended_at),
        "output_bytes": status.output_bytes,
        "dropped_bytes": status.dropped_bytes,
        "stopped_by": status.stopped_by,
        "usage": None
        if status.usage is None
        else {"cpu_seconds": status.usage.cpu_seconds, "max_rss_bytes": status.usage.max_rss_bytes},
        "limits": dict(status.limits),
    }
    return _present(document)


def status_from_document(document: Mapping[str, Any]) -> JobStatus:
    """Return the status in *document*; raises `KeyError`, `TypeError` or `ValueError` if it holds none."""
    usage = document.get("usage")
    return JobStatus(
        id=document["id"],
        owner=document["owner"],
        state=JobState(document["state"]),
        command=document["command"],
        args=tuple(document.get("args", ())),
        name=document.get("name", ""),
        labels=document.get("labels", {}),
        pid=document.get("pid"),
        exit_code=document.get("exit_code"),
        signal=document.get("signal", ""),
        reason=document.get("reason", ""),
        created_at=_parse_or_none(document.get("created_at")),
        started_at=_parse_or_none(document.get("started_at")),
        ended_at=_parse_or_none(document.get("ended_at")),
        output_bytes=document.get("output_bytes", 0),
        dropped_bytes=document.get("dropped_bytes", 0),
        stopped_by=document.get("stopped_by", ""),
        usage=None if usage is None else Usage(**_known(Usage, usage)),
        limits=document.get("limits", {}),
    )


def spec_to_document(spec: JobSpec) -> Document:
    """Return the document of an accepted job."""
    request = spec.request
    return _present(
        {
            "id": spec.id,
            "owner": spec.owner,
            "created_at": format_time(spec.created_at),
            "nonce": spec.nonce,
            "run_as": None if spec.run_as is None else _fields(spec.run_as) | {"groups": list(spec.run_as.groups)},
            "reserve_bytes": spec.reserve_bytes,
            "cgroup": spec.cgroup,
            "command": request.command,
            "args": list(request.args),
            "env": dict(request.env),
            "working_directory": request.working_directory,
            "name": request.name,
            "labels": dict(request.labels),
            "request_id": request.request_id,
            "timeout": None if request.timeout is None else request.timeout.total_seconds(),
            "stop": {"signal": request.stop.signal.name, "grace": request.stop.grace.total_seconds()},
            "stdin": request.stdin or None,
            "tty": None if request.tty is None else _fields(request.tty),
            "limits": _limits_to_document(request.limits),
        }
    )


def spec_from_document(document: Mapping[str, Any]) -> JobSpec:
    """Return the accepted job in *document*; raises like `status_from_document`."""
    run_as, timeout, tty = document.get("run_as"), document.get("timeout"), document.get("tty")
    return JobSpec(
        id=document["id"],
        owner=document["owner"],
        created_at=parse_time(document["created_at"]),
        nonce=document["nonce"],
        reserve_bytes=document.get("reserve_bytes", 0),
        cgroup=document.get("cgroup", ""),
        run_as=None
        if run_as is None
        else RunAs(**_known(RunAs, {**run_as, "groups": tuple(run_as.get("groups", ()))})),
        request=JobRequest(
            command=document["command"],
            args=tuple(document.get("args", ())),
            env=document.get("env", {}),
            working_directory=document.get("working_directory", ""),
            name=document.get("name", ""),
            labels=document.get("labels", {}),
            request_id=document.get("request_id", ""),
            timeout=None if timeout is None else timedelta(seconds=timeout),
            stop=StopPolicy(
                signal=parse_signal(document["stop"]["signal"]), grace=timedelta(seconds=document["stop"]["grace"])
            ),
            stdin=document.get("stdin", False),
            tty=None if tty is None else TerminalSize(**_known(TerminalSize, tty)),
            limits=_limits_from_document(document.get("limits", {})),
        ),
    )


def _limits_to_document(limits: Limits) -> Document:
    document = _fields(limits)
    document["output_policy"] = None if limits.output_policy is None else limits.output_policy.value
    return _present(document)


def _limits_from_document(document: Mapping[str, Any]) -> Limits:
    policy = document.get("output_policy")
    known = _known(Limits, document)
    return Limits(**{**known, "output_policy": None if policy is None else OutputPolicy(policy)})


def _fields(value: Limits | RunAs | TerminalSize) -> Document:
    return {name: getattr(value, name) for name in value.__slots__}


def _known(kind: type[Any], document: Mapping[str, Any]) -> Document:
    """Return what of *document* is a field of *kind*: a newer version may know more."""
    return {name: document[name] for name in kind.__slots__ if name in document}


def _present(document: Document) -> Document:
    """Leave out what is absent: None, and empty texts, lists and maps. Zero stays."""
    return {key: value for key, value in document.items() if value is not None and value not in ("", [], {})}


def _time_or_none(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


def _parse_or_none(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)
