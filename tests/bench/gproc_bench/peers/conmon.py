"""conmon, the keeper of one container, with a runtime that starts a plain process: only its own memory counts here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from gproc_bench.processes import CallFailed, children_of, end_all
from gproc_bench.session import Session, tool

__all__ = ["start_conmons"]

RUNTIME = """\
#!{python}
import os, subprocess, sys
arguments = sys.argv[1:]
if "create" in arguments:
    job = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open(arguments[arguments.index("--pid-file") + 1], "w") as file:
        file.write(str(job.pid))
os._exit(0)
"""


def start_conmons(session: Session, stack: ExitStack, count: int) -> list[int]:
    """Start *count* keepers, each with an idle process, and return their pids; all are ended with *stack*."""
    conmon = tool("conmon", "Debian: conmon")
    place = session.directory("conmon")
    runtime = place / "runtime"
    runtime.write_text(RUNTIME.format(python=sys.executable))
    runtime.chmod(0o700)
    mark = f"GPROC_BENCH_CONMON={place.name}"
    stack.callback(end_all, mark)
    env = {**session.env, "GPROC_BENCH_CONMON": place.name}
    for number in range(count):
        _start(conmon, runtime, place / str(number), f"{place.name}-{number}", env)
    return [_pid(place / str(number)) for number in range(count)]


def _start(conmon: str, runtime: Path, bundle: Path, name: str, env: dict[str, str]) -> None:
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps({"process": {"terminal": False}}))
    argv = [conmon, "--api-version", "1", "-c", name, "-u", name, "-n", name, "-r", str(runtime), "-b", str(bundle)]
    argv += ["-p", str(bundle / "job.pid"), "-P", str(bundle / "conmon.pid"), "-l", f"k8s-file:{bundle}/log"]
    for option in ("--exit-dir", "--persist-dir", "--socket-dir-path"):
        argv += [option, str(bundle)]
    said = subprocess.run(
        [*argv, "--no-new-keyring"],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if said.returncode:
        raise CallFailed(f"conmon: exit code {said.returncode}: {said.stderr.strip()[-300:]}")


def _pid(bundle: Path) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            keeper = int((bundle / "conmon.pid").read_text())
            if int((bundle / "job.pid").read_text()) in children_of([keeper]):
                return keeper
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.02)
    raise CallFailed(f"conmon: it does not keep its process after 20 s; see {bundle}")
