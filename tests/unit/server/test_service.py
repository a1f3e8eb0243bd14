from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import StreamClosedError

from gproc.errors import JobNotFound
from gproc.model.policy import Quotas
from gproc.server.followers import Followers
from gproc.server.ledger import Ledger
from gproc.server.log import EventLog
from gproc.server.service import Access, JobService
from gproc.server.users import resolve_users
from gproc.wire import METHODS
from gproc.worker import Supervisor


@pytest.fixture
def service(tmp_path: Path) -> JobService:
    return JobService(
        supervisor=Supervisor(tmp_path / "state"),
        followers=Followers(),
        ledger=Ledger(Quotas()),
        access=Access(resolve_users(None, {}, euid=12345), ()),
        log=EventLog(logging.getLogger("gproc.server")),
    )


async def answer_with(service: JobService, error: BaseException) -> None:
    async def fail(_stream: Any) -> None:
        raise error

    await service._guarded("Status", fail)(None)  # type: ignore[arg-type]  # nothing is read from the stream


def test_every_rpc_of_the_contract_is_served(service: JobService) -> None:
    assert service.__mapping__().keys() == {method.path for method in METHODS.values()}


async def test_an_error_of_ours_becomes_its_status(service: JobService) -> None:
    with pytest.raises(GRPCError) as caught:
        await answer_with(service, JobNotFound("x"))
    assert caught.value.status is Status.NOT_FOUND


async def test_an_unexpected_error_is_told_by_an_id_that_the_log_explains(
    service: JobService, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(GRPCError) as caught:
        await answer_with(service, RuntimeError("secret\ndetail"))

    assert caught.value.status is Status.INTERNAL
    message = caught.value.message or ""
    assert "secret" not in message
    [record] = caplog.records
    fields = record.__dict__["fields"]
    assert f"(id {fields['id']})" in message
    assert (record.getMessage(), fields["rpc"]) == ("internal_error", "Status")
    assert fields["error"].startswith("RuntimeError: secret")


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), StreamTerminatedError("left"), StreamClosedError(1), GRPCError(Status.ABORTED)]
)
async def test_a_client_that_left_is_no_fault_of_the_server(
    service: JobService, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(type(error)):
        await answer_with(service, error)
    assert caplog.records == []
