"""``gproc.v1.JobService``: one short method for each rpc, message in, message out.

The methods only translate; what happens to jobs is the supervisor's affair. Every rpc speaks of the caller's own jobs:
the owner goes along to the supervisor, and for it other owners' jobs do not exist.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream
from h2.exceptions import ProtocolError

from gproc import wire
from gproc.errors import GprocError, InternalError, InvalidArgument, Unimplemented
from gproc.model import Identity, JobId, JobPage, JobRequest, JobState, JobStatus, OutputEvent
from gproc.model.policy import Rule
from gproc.model.spec import RunAs
from gproc.server.endings import was_executed
from gproc.server.followers import Follower, Followers
from gproc.server.ledger import Ledger
from gproc.server.log import EventLog, describe
from gproc.server.policy import check_command
from gproc.server.users import Users
from gproc.transport import connection_of, output_room, send_output
from gproc.wire import METHODS, messages
from gproc.worker import Supervisor

__all__ = ["Access", "JobService"]

_Stream = Stream[Any, Any]
_Handle = Callable[[_Stream], Awaitable[None]]

_SAID_TOO_MUCH = "that is for all of a request: its command, arguments, environment and labels together"


@dataclass(slots=True)
class Access:
    """Who may do what, as of now: replaced when the server reloads."""

    users: Users
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobService:
    """Answers the rpcs."""

    supervisor: Supervisor
    followers: Followers
    ledger: Ledger
    access: Access
    log: EventLog

    def __mapping__(self) -> dict[str, Handler]:
        """Return the rpcs by path, as grpclib wants them."""
        handles: dict[str, _Handle] = {
            "Start": self._unary(self.start),
            "Status": self._unary(self.status),
            "Stop": self._unary(self.stop),
            "GetOutput": self._streaming(self.get_output, _send_output),
            "Signal": self._unary(self.signal),
            "Wait": self._unary(self.wait),
            "List": self._list,
            "Watch": self._streaming(self.watch, _send_status),
            "Attach": self.attach,
            "Remove": self._unary(self.remove),
        }
        return {METHODS[name].path: METHODS[name].handler(self._guarded(name, handles[name])) for name in handles}

    async def start(self, message: messages.JobRequest, owner: Identity) -> JobStatus:
        """Start a job, if the policy and the quotas let the owner."""
        request = wire.request_from_message(message)
        _check_supported(request)
        check_command(self.access.rules, owner, request)
        run_as = self.access.users.of(owner)
        if self.supervisor.requested(request.request_id, owner=owner):
            return await self.supervisor.submit(request, owner=owner, run_as=run_as)
        # A task of its own: a client that leaves does not take the start back, so it is to be in the log all the same.
        starting = asyncio.create_task(self._start(request, owner, run_as))
        starting.add_done_callback(_looked_at)
        return await asyncio.shield(starting)

    async def _start(self, request: JobRequest, owner: Identity, run_as: RunAs | None) -> JobStatus:
        # Nothing is awaited from the count until the job is in the registry, so no two starts count the same.
        if not self.supervisor.requested(request.request_id, owner=owner):
            self.ledger.count_start(owner, lambda: self.supervisor.running(owner))
        status = await self.supervisor.submit(request, owner=owner, run_as=run_as)
        user = run_as.user if run_as else None
        about = {"owner": owner, "job": status.id, "pid": status.pid, "command": status.command, "user": user}
        # The answer does not wait for whoever reads the log.
        asyncio.get_running_loop().call_soon(partial(self.log.info, "job_started", **about))
        return status

    async def status(self, message: messages.StatusRequest, owner: Identity) -> JobStatus:
        """Tell how a job is."""
        return self.supervisor.status(wire.job_id_from_message(message), owner=owner)

    async def stop(self, message: messages.StopRequest, owner: Identity) -> JobStatus:
        """Stop a job; when the server drains meanwhile, the stop goes on without it."""
        query = wire.stop_from_message(message)
        self.supervisor.status(query.job_id, owner=owner)  # raises for a stranger's job before anything is logged
        self.log.info("job_stop", owner=owner, job=query.job_id)
        stopping = self.supervisor.stop(query.job_id, owner=owner, signal=query.signal, grace=query.grace)
        with self.followers.joined() as follower:
            return await follower.wait_for(stopping)

    def get_output(
        self, message: messages.GetOutputRequest, owner: Identity, stream: _Stream
    ) -> AsyncGenerator[OutputEvent, None]:
        """Replay and follow a job's output; none is read before the client takes it."""
        job_id, wanted = wire.output_range_from_message(message)
        return self.supervisor.output_events(job_id, wanted, owner=owner, room=partial(output_room, stream))

    async def signal(self, message: messages.SignalRequest, owner: Identity) -> JobStatus:
        """Send a signal to a job."""
        query = wire.signal_from_message(message)
        status = await self.supervisor.signal(query.job_id, query.signal, owner=owner)
        self.log.info("job_signaled", owner=owner, job=query.job_id, signal=query.signal.name)
        return status

    async def wait(self, message: messages.WaitRequest, owner: Identity) -> JobStatus:
        """Answer when a job is final."""
        job_id = wire.job_id_from_message(message)
        with self.ledger.following(owner), self.followers.joined() as follower:
            return await follower.wait_for(self.supervisor.wait(job_id, owner=owner))

    async def list(self, message: messages.ListRequest, owner: Identity) -> JobPage:
        """Tell one page of the owner's jobs."""
        return self.supervisor.page(wire.list_query_from_message(message), owner=owner)

    async def watch(
        self, message: messages.WatchRequest, owner: Identity, _stream: _Stream
    ) -> AsyncGenerator[JobStatus, None]:
        """Tell how jobs are, and every change; nothing of a start that failed, unless it was told that it began."""
        began: set[JobId] = set()
        async with aclosing(self.supervisor.watch(wire.watch_from_message(message), owner=owner)) as statuses:
            async for status in statuses:
                if status.state is JobState.PENDING:
                    began.add(status.id)
                elif was_executed(status) or status.id in began:
                    began.discard(status.id)
                else:
                    continue
                yield status

    async def attach(self, _stream: _Stream) -> None:
        """Refuse: not built yet."""
        raise Unimplemented("Attach: this server cannot join a running job yet; follow it with GetOutput")

    async def remove(self, message: messages.RemoveRequest, owner: Identity) -> messages.RemoveResponse:
        """Forget a finished job."""
        job_id = wire.job_id_from_message(message)
        await self.supervisor.remove(job_id, owner=owner)
        self.log.info("job_removed", owner=owner, job=job_id)
        return messages.RemoveResponse()

    async def _list(self, stream: _Stream) -> None:
        """Answer with a page, one at a time on each connection: it is large, and kept until the client reads it."""
        message, connection = await _only_message(stream), connection_of(stream)
        async with connection.turn:
            await stream.send_message(await self.list(message, connection.owner))

    def _unary(self, answer: Callable[[Any, Identity], Awaitable[object]]) -> _Handle:
        """Return what reads one message and sends the answer to it."""

        async def handle(stream: _Stream) -> None:
            message = await _only_message(stream)
            await stream.send_message(await answer(message, connection_of(stream).owner))

        return handle

    def _streaming(
        self,
        events_of: Callable[[Any, Identity, _Stream], AsyncGenerator[Any, None]],
        send: Callable[[_Stream, Any], Awaitable[None]],
    ) -> _Handle:
        """Return what reads one message and sends events until they end.

        When the client leaves, or the server drains, the events are closed at once.
        """

        async def handle(stream: _Stream) -> None:
            message, owner = await _only_message(stream), connection_of(stream).owner
            with self.ledger.following(owner), self.followers.joined() as follower:
                async with aclosing(events_of(message, owner, stream)) as events:
                    while await _send_next(events, follower, partial(send, stream)):
                        pass

        return handle

    def _guarded(self, rpc: str, handle: _Handle) -> _Handle:
        """Return *handle* with its errors turned into gRPC statuses."""

        async def guarded(stream: _Stream) -> None:
            try:
                await handle(stream)
            except GprocError as error:
                raise wire.to_grpc_error(error) from None
            except (GRPCError, StreamTerminatedError, ProtocolError):
                raise  # already said, or nobody is there to be told
            except Exception as error:  # noqa: BLE001 - the client gets an id, the log gets the rest
                raise wire.to_grpc_error(self._internal(rpc, error)) from None

        return guarded

    def _internal(self, rpc: str, error: Exception) -> InternalError:
        reference = secrets.token_hex(4)
        self.log.error("internal_error", id=reference, rpc=rpc, error=describe(error))
        return InternalError(f"{rpc}: the server failed; its log says why (id {reference})")


def _looked_at(task: asyncio.Task[JobStatus]) -> None:
    """Look at how a start ended, should nobody be there any more to be told."""
    if not task.cancelled():
        task.exception()


async def _only_message(stream: _Stream) -> Any:
    try:
        message = await stream.recv_message()
    except GRPCError as error:
        if error.status is Status.RESOURCE_EXHAUSTED:
            raise GRPCError(error.status, f"{error.message}; {_SAID_TOO_MUCH}") from None
        raise
    if message is None:
        raise InvalidArgument("request", "the call ended without a message")
    return message


async def _send_next(
    events: AsyncGenerator[Any, None], follower: Follower, send: Callable[[Any], Awaitable[None]]
) -> bool:
    """Send the next event, if there is one; return whether. Nobody holds on to it while the one after is awaited."""
    event = await follower.wait_for(anext(events, None))
    if event is not None:
        await send(event)
    return event is not None


async def _send_output(stream: _Stream, event: OutputEvent) -> None:
    await send_output(stream, *wire.event_to_parts(event))


async def _send_status(stream: _Stream, status: JobStatus) -> None:
    await stream.send_message(status)


def _check_supported(request: JobRequest) -> None:
    if request.stdin:
        raise Unimplemented("stdin: this server cannot give a job standard input yet; leave it out")
    if request.tty is not None:
        raise Unimplemented("tty: this server cannot run a job on a terminal yet; leave it out")
