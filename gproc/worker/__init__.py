"""Start, stop, watch and report on jobs of this machine. Knows no network."""

from gproc.worker.process import Process
from gproc.worker.supervisor import JobPage, Supervisor

__all__ = ["JobPage", "Process", "Supervisor"]
