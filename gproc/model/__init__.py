"""The values that Gproc is about. Frozen, right from birth; no I/O, no clock, no asyncio."""

from gproc.model.identity import Identity, parse_identity
from gproc.model.ids import JobId, make_job_id, parse_job_id
from gproc.model.job import (
    JobRequest,
    JobStatus,
    Limits,
    OutputPolicy,
    StopPolicy,
    TerminalSize,
    Usage,
)
from gproc.model.listing import JobPage, ListQuery
from gproc.model.output import Chunk, End, Gap, OutputEvent, OutputRange, Stream
from gproc.model.state import LIVE_STATES, JobState

__all__ = [
    "LIVE_STATES",
    "Chunk",
    "End",
    "Gap",
    "Identity",
    "JobId",
    "JobPage",
    "JobRequest",
    "JobState",
    "JobStatus",
    "Limits",
    "ListQuery",
    "OutputEvent",
    "OutputPolicy",
    "OutputRange",
    "StopPolicy",
    "Stream",
    "TerminalSize",
    "Usage",
    "make_job_id",
    "parse_identity",
    "parse_job_id",
]
