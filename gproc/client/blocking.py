"""The client without ``await``, for scripts.

::

    from gproc.client import blocking

    with blocking.Client("localhost:3000", cacert=..., cert=..., key=...) as client:
        job = client.start("ping", ["-c", "3", "localhost"])
        for piece in job.output():
            ...
        print(job.wait().exit_code)

An event loop runs in a thread of its own and does the work; names, arguments and errors are those of `gproc.client`.
One client may be used from many threads.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import suppress
from datetime import timedelta
from inspect import Signature, signature
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from gproc import client as waiting
from gproc.client.persistence import OnBreak
from gproc.client.resume import Patience
from gproc.errors import Unavailable
from gproc.model import Chunk, Gap, JobId, JobPage, JobRequest, JobStatus, ListQuery
from gproc.model.job import arguments_of

__all__ = ["Client", "Job", "Output"]

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Work = Callable[[], Coroutine[Any, Any, _T]]


def _as(
    waiting_one: Callable[Concatenate[Any, _P], object],
) -> Callable[[Callable[..., _T]], Callable[Concatenate[Any, _P], _T]]:
    """Give a method the parameters of *waiting_one*, for help and type checkers; what it returns is its own affair."""

    def dressed(method: Callable[..., _T]) -> Callable[Concatenate[Any, _P], _T]:
        parameters = list(signature(waiting_one).parameters.values())
        method.__signature__ = Signature(parameters, return_annotation=method.__annotations__["return"])  # type: ignore[attr-defined]
        return method

    return dressed


class Client:
    """`gproc.client.Client` whose methods return when they are done. Use it under ``with``."""

    def __init__(
        self,
        addr: str,
        *,
        cacert: str | Path,
        cert: str | Path,
        key: str | Path,
        timeout: float = 30.0,
        patience: Patience | None = None,
    ) -> None:
        self._client = waiting.Client(addr, cacert=cacert, cert=cert, key=key, timeout=timeout, patience=patience)
        self._loop = _Loop()

    @property
    def address(self) -> str:
        """The server's HOST:PORT."""
        return self._client.address

    @property
    def may_have_asked(self) -> bool:
        """Whether any request has left that the server may have taken; False if all failed before, for certain."""
        return self._client.may_have_asked

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread; jobs go on. Closing again does nothing."""
        self._loop.close(self._client.aclose)

    def connect(self) -> None:
        """Be connected; raises `Unavailable` or `CertificateRefused`."""
        self._loop.run(self._client.connect)

    @_as(waiting.Client.start)
    def start(self, command: str, args: Iterable[str] = (), **options: Any) -> Job:
        """Start a job; return it once the program was executed."""
        words = arguments_of(args)
        return Job(self._loop, self._loop.run(lambda: self._client.start(command, words, **options)))

    def submit(self, request: JobRequest) -> Job:
        """Do as `start`, with a `JobRequest`."""
        return Job(self._loop, self._loop.run(lambda: self._client.submit(request)))

    def job(self, job_id: str) -> Job:
        """Return the job with that id, without asking the server."""
        return Job(self._loop, self._client.job(job_id))

    def status(self, job_id: JobId) -> JobStatus:
        """Return the current status."""
        return self._loop.run(lambda: self._client.status(job_id))

    def wait(self, job_id: JobId, *, on_break: OnBreak | None = None) -> JobStatus:
        """Return the final status, once it is. *on_break* is told of each break, in the thread of the loop."""
        return self._loop.run(lambda: self._client.wait(job_id, on_break=on_break))

    @_as(waiting.Client.stop)
    def stop(self, job_id: JobId, **options: Any) -> JobStatus:
        """Stop a job and all it started; return its final status."""
        return self._loop.run(lambda: self._client.stop(job_id, **options))

    def signal(self, job_id: JobId, signal: Signals | str) -> JobStatus:
        """Send a signal to a job's process group."""
        return self._loop.run(lambda: self._client.signal(job_id, signal))

    def remove(self, job_id: JobId) -> None:
        """Forget a finished job and its output."""
        self._loop.run(lambda: self._client.remove(job_id))

    def page(self, query: ListQuery) -> JobPage:
        """Return one page of the caller's own jobs, newest first."""
        return self._loop.run(lambda: self._client.page(query))

    @_as(waiting.Client.list)
    def list(self, **filters: Any) -> _Items[JobStatus]:
        """Return the caller's own jobs that pass every filter, newest first."""
        return _Items(self._loop, self._client.list(**filters))

    def watch(self, ids: Iterable[JobId] = (), *, patience: Patience | None = None) -> _Items[JobStatus]:
        """Return the current status of each job, then every change; ends when all *ids* are final."""
        return _Items(self._loop, self._client.watch(ids, patience=patience))

    @_as(waiting.Client.output)
    def output(self, job_id: JobId, **options: Any) -> Output:
        """Return a job's output as an iterator: see `Job.output`."""
        return Output(self._loop, self._client.output(job_id, **options))


class Job:
    """`gproc.client.Job` whose methods return when they are done."""

    def __init__(self, loop: _Loop, job: waiting.Job) -> None:
        self._loop = loop
        self._job = job

    def __repr__(self) -> str:
        return repr(self._job)

    @property
    def id(self) -> JobId:
        """Identifies the job."""
        return self._job.id

    @property
    def status(self) -> JobStatus | None:
        """The last status known."""
        return self._job.status

    @_as(waiting.Job.output)
    def output(self, **options: Any) -> Output:
        """Return the output as an iterator of `Chunk` and `Gap`: see `gproc.client.Job.output`."""
        return Output(self._loop, self._job.output(**options))

    def refresh(self) -> JobStatus:
        """Ask for the current status and return it."""
        return self._loop.run(self._job.refresh)

    def wait(self) -> JobStatus:
        """Return the final status, once it is."""
        return self._loop.run(self._job.wait)

    def stop(self, *, signal: Signals | str | None = None, grace: timedelta | float | None = None) -> JobStatus:
        """Stop the job and all it started; return the final status."""
        return self._loop.run(lambda: self._job.stop(signal=signal, grace=grace))

    def signal(self, signal: Signals | str) -> JobStatus:
        """Send a signal to the job's process group."""
        return self._loop.run(lambda: self._job.signal(signal))

    def remove(self) -> None:
        """Forget the finished job and its output."""
        self._loop.run(self._job.remove)


class _Items(Generic[_T]):
    """An asynchronous iterator as an ordinary one."""

    def __init__(self, loop: _Loop, items: AsyncGenerator[_T, None] | waiting.Output) -> None:
        self._loop = loop
        self._items: Any = items
        self._next: asyncio.Task[Any] | None = None  # the last one to ask for an item

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        item: _T | _End = self._loop.run(self._next_or_end)
        if isinstance(item, _End):
            raise StopIteration
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop and tell the server; closing again, or after the client, does nothing."""
        with suppress(Unavailable):
            self._loop.run(self._aclose)

    async def _next_or_end(self) -> Any:
        if self._next is not None and self._next.cancelling():
            await asyncio.wait([self._next])  # its thread was interrupted
        self._next = asyncio.current_task()
        return await anext(self._items, _End())

    async def _aclose(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.cancel()  # again, perhaps: its thread was interrupted, and is not to be told that it still runs
            await asyncio.wait([self._next])
        await self._items.aclose()


class Output(_Items[Chunk | Gap]):
    """`gproc.client.Output` as an ordinary iterator."""

    def __init__(self, loop: _Loop, output: waiting.Output) -> None:
        super().__init__(loop, output)
        self._output = output

    @property
    def offset(self) -> int:
        """The next byte wanted: ask for it to go on later."""
        return self._output.offset

    @property
    def end(self) -> JobStatus | None:
        """The status it ended with; None before."""
        return self._output.end

    @property
    def breaks(self) -> int:
        """How often the connection broke."""
        return self._output.breaks

    @property
    def on_break(self) -> OnBreak | None:
        """Who is told of a break before the pause, in the thread of the loop: the error, and how long the pause is."""
        return self._output.on_break

    @on_break.setter
    def on_break(self, told: OnBreak | None) -> None:
        self._output.on_break = told


class _End:
    """There are no more items."""


class _Errand(Generic[_T]):
    """Work that a thread gives to the loop, and waits for.

    A `Future` of concurrent.futures would not do: a thread that is interrupted inside its methods may keep its lock,
    for which the loop would then wait for ever.
    """

    def __init__(self, work: _Work[_T]) -> None:
        self._work = work
        self._is_under_way = threading.Lock()
        self._is_under_way.acquire()
        self._task: asyncio.Task[_T] | None = None

    def begin(self) -> None:
        """Do the work; called by the loop, as is `cancel`."""
        self._task = asyncio.create_task(self._do())
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """Break off the work, if it was begun."""
        if self._task is not None:
            self._task.cancel()

    def result(self) -> _T:
        """Wait for the work, and return what it returned or raise what it raised; called by the thread."""
        self._is_under_way.acquire()
        task, self._task = cast("asyncio.Task[_T]", self._task), None
        try:
            return task.result()
        finally:
            del task  # an error knows where it was raised, and would keep itself

    async def _do(self) -> _T:
        return await self._work()

    def _end(self, task: asyncio.Task[_T]) -> None:
        if not task.cancelled():
            task.exception()  # looked at, should the thread have been interrupted
        self._is_under_way.release()


class _Loop:
    """An event loop in a thread of its own, from the first call until it is closed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        self._last: asyncio.Task[None] | None = None
        self._process = os.getpid()

    def run(self, work: _Work[_T]) -> _T:
        """Return what *work* returns, which is called by the loop; if this thread is interrupted, it is cancelled.

        Raises `Unavailable` if the client, or what is iterated, is closed, or was before.
        """
        if self._process != os.getpid():
            raise RuntimeError("this client belongs to another process; make one for each")
        if sys.is_finalizing():
            raise Unavailable("the program is ending, and the thread of this client is gone")
        if threading.current_thread() is self._thread:
            raise RuntimeError("whoever is told of a break cannot use the client meanwhile")
        errand = _Errand(work)
        try:
            self._begin(errand)
            return errand.result()
        except asyncio.CancelledError:
            raise Unavailable("the client, or this iterator, was closed") from None
        except BaseException:
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop is closed by now
                    self._loop.call_soon_threadsafe(errand.cancel)
            raise

    def close(self, last: _Work[None]) -> None:
        """Do the *last* work, then end loop and thread; they end though this thread is interrupted meanwhile."""
        if self._process != os.getpid() or sys.is_finalizing():
            return  # the thread is that of the process that this one was forked from, or is gone
        with self._lock:
            self._is_closed = True
        if self._loop is not None and self._thread is not None:
            with suppress(RuntimeError):  # it was closed before
                self._loop.call_soon_threadsafe(self._end, self._loop, last)
            self._thread.join()

    def _begin(self, errand: _Errand[Any]) -> None:
        with self._lock:  # until it is begun: else the loop may end in between, and nobody would end the work
            if self._is_closed:
                raise Unavailable("this client is closed; make a new one")
            if self._loop is None:
                self._loop, self._thread = self._open()
            self._loop.call_soon_threadsafe(errand.begin)

    def _open(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        """Return a loop and the thread that runs it; if this thread is interrupted meanwhile, both end."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._serve, args=(loop,), name="gproc-client", daemon=True)
        try:
            thread.start()
        except BaseException:
            loop.call_soon_threadsafe(loop.stop)
            raise
        return loop, thread

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_forever()

    def _end(self, loop: asyncio.AbstractEventLoop, last: _Work[None]) -> None:
        if self._last is None:
            self._last = loop.create_task(last())
            self._last.add_done_callback(lambda _: loop.stop())
