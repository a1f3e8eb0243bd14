"""What holds for all tests."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from gproc.worker.kernel import become_subreaper
from gproc.worker.tree import children

# A deadline for each example would fail on a busy machine for no reason; the timeout of a test is limit enough.
settings.register_profile("default", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("default")

# Who starts the tests in the background has them ignored, and what is started here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for ignored_in_the_background in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(ignored_in_the_background, signal.SIG_DFL)

_GONE_WITHIN_SECONDS = 5.0
_POOL = "gproc_"
_FAILED = pytest.StashKey[bool]()


@dataclass(frozen=True)
class Holdings:
    """What this process holds at one moment."""

    descriptors: frozenset[str]
    threads: frozenset[threading.Thread]
    processes: frozenset[int]

    @classmethod
    def now(cls) -> Holdings:
        # A supervisor that serves a whole module starts the threads of its pool as it needs them.
        threads = frozenset(each for each in threading.enumerate() if not each.name.startswith(_POOL))
        return cls(_descriptors(), threads, frozenset(children(os.getpid())))

    def beyond(self, before: Holdings) -> list[str]:
        """Return what is held now and was not held *before*, in words."""
        return [
            *(f"descriptor {each}" for each in self.descriptors - before.descriptors),
            *(f"thread {each.name}" for each in self.threads - before.threads),
            *(f"process {each} ({_command(each)})" for each in self.processes - before.processes),
        ]


@pytest.fixture(scope="session", autouse=True)
def adopts_orphans() -> None:
    """Processes that lose their parent become children of the tests' process, where they are found."""
    become_subreaper()


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest, adopts_orphans: None) -> Iterator[None]:
    """Each test gives back every descriptor, thread and process that it took, within a few seconds."""
    before = Holdings.now()
    yield
    left = _left_beyond(before)
    for pid in set(children(os.getpid())) - before.processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if left and not request.node.stash.get(_FAILED, False):
        pytest.fail("left behind: " + ", ".join(sorted(left)))


@pytest.fixture(autouse=True)
def ends_its_tasks(request: pytest.FixtureRequest, leaves_nothing: None) -> None:
    """Each test that has an event loop ends every task that it began."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_tasks_left")


@pytest.fixture
async def _no_tasks_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=_GONE_WITHIN_SECONDS)
    if tasks and not request.node.stash.get(_FAILED, False):
        pytest.fail("tasks left behind: " + ", ".join(sorted(map(str, tasks))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember failures: the traceback of one holds what the test held."""
    report = yield
    if call.excinfo is not None:
        item.stash[_FAILED] = True
    return report


def _left_beyond(before: Holdings) -> list[str]:
    """Return what is held beyond *before*, once all had a moment to go."""
    give_up_at = time.monotonic() + _GONE_WITHIN_SECONDS
    while left := Holdings.now().beyond(before):
        if time.monotonic() > give_up_at:
            break
        gc.collect()
        _reap_orphans(before)
        time.sleep(0.01)
    return left


def _reap_orphans(before: Holdings) -> None:
    """Reap what was adopted and has ended: nobody else will."""
    for pid in set(children(os.getpid())) - before.processes:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _descriptors() -> frozenset[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(f"{entry.name} {entry.readlink()}")
    return frozenset(each for each in found if not each.endswith("/fd"))  # but for the one that lists them


def _command(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return command or Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"
