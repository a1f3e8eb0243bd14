"""pytest fixtures, loaded by installing ``gproc[testing]``.

- `gproc_server`: a server for this test, in a thread of its own; for tests with and without an event loop.
- `gproc_client`: a `gproc.Client` of it called ``alice``, for async tests (with pytest-asyncio in any mode, or anyio).

pytest imports this module in every run, so it imports nothing until a fixture is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gproc.client import Client
    from gproc.testing.threaded import ThreadedServer

__all__ = ["gproc_client", "gproc_server"]

_Function = Callable[..., AsyncIterator[Any]]


def _async_fixture(function: _Function) -> Any:
    """Make a fixture of an async generator: pytest-asyncio's strict mode runs only those marked as its own."""
    try:
        import pytest_asyncio  # noqa: PLC0415 - it may not be there

        return pytest_asyncio.fixture(function)
    except (ImportError, AttributeError):  # what an uninstallation leaves behind imports, as an empty package
        return pytest.fixture(function)


@pytest.fixture
def gproc_server() -> Iterator[ThreadedServer]:
    """A Gproc server with nothing in it; its jobs are killed and its files removed after the test."""
    from gproc.testing.threaded import threaded_server  # noqa: PLC0415 - this module must be cheap to import

    with threaded_server() as server:
        yield server


@_async_fixture
async def gproc_client(gproc_server: ThreadedServer) -> AsyncIterator[Client]:
    """A client of `gproc_server` called alice."""
    async with gproc_server.client("alice") as client:
        yield client
