"""Clients: everything that the service offers, as Python.

`Client` and `Job` are for asyncio; `gproc.client.blocking` has the same without ``await``.
"""

from gproc.client.client import Client
from gproc.client.job import Job
from gproc.client.output import Output
from gproc.client.resume import Patience
from gproc.model import JobPage, ListQuery

__all__ = ["Client", "Job", "JobPage", "ListQuery", "Output", "Patience"]
