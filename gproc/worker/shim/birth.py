"""How the shim brings its job to life: where, as whom, and within which bounds."""

from __future__ import annotations

import os
import pwd
import resource
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from gproc.model.spec import JobSpec, RunAs
from gproc.worker.cgroup import JobCgroup, disk_of
from gproc.worker.launch import JOB_VARIABLE, Launch, LaunchError, clean_environment, explain, launch
from gproc.worker.limits import LimitPlan, plan_limits

__all__ = ["Born", "bring_to_life", "own_home"]


@dataclass(frozen=True, slots=True)
class Born:
    """A program that runs, and what holds it."""

    pid: int
    cgroup: JobCgroup | None
    limits: dict[str, str]


def bring_to_life(spec: JobSpec, *, stdout: int, stderr: int) -> Born:
    """Execute the program of *spec* with these descriptors as its output.

    Where the spec says nothing of core dumps, it is this process's affair that there are none: then nothing is left to
    be set in the child, and it is launched faster. Raises `StartFailed`, `InvalidArgument` or `QuotaExceeded`; then
    nothing is left of the attempt.
    """
    cgroup, controllers = _make_cgroup(spec.cgroup)
    runs_as_root = (spec.run_as.uid if spec.run_as else os.geteuid()) == 0
    disk = disk_of(_home_and_directory(spec)[1]) if "io" in controllers else ""
    limits = plan_limits(spec.request.limits, controllers=controllers, is_root=runs_as_root, disk=disk)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    plan = _plan(spec, (null, stdout, stderr), limits, cgroup)
    try:
        if cgroup is not None:
            cgroup.bound(limits.cgroup_files)
        if spec.run_as is not None:
            _give(spec.run_as, stdout, stderr)
        pid = launch(plan)
    except BaseException as error:
        if cgroup is not None:
            cgroup.remove()
        if isinstance(error, LaunchError):
            raise explain(error, plan) from error
        raise
    finally:
        os.close(null)
    return Born(pid, cgroup, limits.report)


def _plan(spec: JobSpec, standard: tuple[int, int, int], limits: LimitPlan, cgroup: JobCgroup | None) -> Launch:
    request, run_as = spec.request, spec.run_as
    home, directory = _home_and_directory(spec)
    may_dump = request.limits.core_bytes is not None
    return Launch(
        command=request.command,
        args=request.args,
        env=clean_environment(home, request.env) | {JOB_VARIABLE: spec.id},
        directory=directory,
        stdin=standard[0],
        stdout=standard[1],
        stderr=standard[2],
        run_as=run_as,
        rlimits=[pair for pair in limits.rlimits if may_dump or pair[0] != resource.RLIMIT_CORE],
        cgroup_procs=cgroup.procs if cgroup else "",
        closes_on_exec=True,
    )


def _give(user: RunAs, *pipes: int) -> None:
    """Let *user* open these pipes by name, as ``/dev/stdout`` and ``/dev/stderr``, and not only write to them."""
    with suppress(PermissionError):
        for fd in pipes:
            os.fchown(fd, user.uid, user.gid)


def _make_cgroup(path: str) -> tuple[JobCgroup | None, frozenset[str]]:
    if not path:
        return None, frozenset()
    cgroup = JobCgroup(path)
    try:
        return cgroup, cgroup.create()
    except OSError:
        # It was ours when the server looked, and is not now: the job runs all the same, and its report says less.
        return None, frozenset()


@cache
def own_home() -> str:
    """Return the home of the user that the server runs as."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _home_and_directory(spec: JobSpec) -> tuple[str, str]:
    home, wanted = spec.run_as.home if spec.run_as else own_home(), spec.request.working_directory
    if wanted:
        return home, os.path.join(home, wanted)
    return home, home if os.path.isdir(home) else "/"
