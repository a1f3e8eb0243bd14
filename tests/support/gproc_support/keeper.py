"""A process with a supervisor in it, for tests that kill it: ``python keeper.py STATE_DIR``.

It says ``ready``, then does what each line of its input says (a JSON object) and answers with a line of JSON:
``{"start": [COMMAND, ARG...], …options}`` with the status, ``{"stop": ID, "grace": SECONDS}`` once stopping began,
``{"status": ID}``, and ``{"signal": NAME, "id": ID}`` with the status, and with ``refused`` if that was not permitted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from signal import Signals
from typing import Any

from gproc.errors import PermissionDenied
from gproc.model import JobState
from gproc.model.document import status_to_document
from gproc.worker import Supervisor, SupervisorSettings


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def requests() -> AsyncIterator[dict[str, Any]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def answer(supervisor: Supervisor, request: dict[str, Any]) -> dict[str, Any]:
    if "start" in request:
        command, *args = request.pop("start")
        job_id = await supervisor.start(command, args, **request)
        return status_to_document(supervisor.status(job_id))
    if "status" in request:
        return status_to_document(supervisor.status(request["status"]))
    if "signal" in request:
        return await signalled(supervisor, request["id"], Signals[request["signal"]])
    job_id = request["stop"]
    stopping = asyncio.ensure_future(supervisor.stop(job_id, grace=timedelta(seconds=request["grace"])))
    keep.append(stopping)
    async with aclosing(supervisor.watch([job_id])) as statuses:
        async for status in statuses:
            if status.state is JobState.STOPPING:
                break
    return status_to_document(supervisor.status(job_id))


async def signalled(supervisor: Supervisor, job_id: str, number: Signals) -> dict[str, Any]:
    try:
        return status_to_document(await supervisor.signal(job_id, number))
    except PermissionDenied as error:
        return status_to_document(supervisor.status(job_id)) | {"refused": str(error)}


keep: list[Any] = []


async def main() -> None:
    async with Supervisor(sys.argv[1], SupervisorSettings(reserve_bytes=0)) as supervisor:
        say("ready")
        async for request in requests():
            say(json.dumps(await answer(supervisor, request)))


if __name__ == "__main__":
    asyncio.run(main())
