"""Every measure, one file each; the order here is the order of the table."""

from importlib import import_module

from gproc_bench.registry import MEASURES

__all__ = ["MEASURES"]

FILES = (
    "replay",
    "live",
    "lines",
    "latency",
    "command",
    "first_byte",
    "jobs",
    "shim_memory",
    "followers",
    "history",
    "kept",
    "startup",
    "floors",
)

for _file in FILES:
    import_module(f"{__name__}.{_file}")
