"""Clients: everything that the service offers, as Python.

`Client` and `Job` are for asyncio; `gproc.client.blocking` has the same without ``await``.
"""

from gproc.client.client import Client, Page
from gproc.client.job import Job
from gproc.client.output import Output
from gproc.client.resume import Patience
from gproc.wire import ListQuery

__all__ = ["Client", "Job", "ListQuery", "Output", "Page", "Patience"]
