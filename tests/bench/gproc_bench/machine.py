"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gproc_bench.session import Missing, tool

__all__ = ["describe"]

PACKAGES = ("gproc", "grpclib", "h2", "betterproto", "uvloop", "grpcio", "asyncssh", "cryptography")


def describe() -> dict[str, str]:
    """Return processor, memory, kernel and the versions of everything that was measured."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        **{name: _package(name) for name in PACKAGES},
        "openssh": _spoken("ssh", "-V"),
        "go": _spoken("go", "version"),
        "conmon": _spoken("conmon", "--version"),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _spoken(name: str, flag: str) -> str:
    try:
        said = subprocess.run([tool(name, name), flag], capture_output=True, text=True, timeout=10, check=False)
    except Missing:
        return "not installed"
    return (said.stdout or said.stderr).strip().splitlines()[0]
