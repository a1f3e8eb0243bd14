from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from gproc.errors import CommandNotFound, GprocError, InvalidArgument, JobNotFound, Unavailable


def pickled(error: GprocError) -> GprocError:
    again: GprocError = pickle.loads(pickle.dumps(error))
    return again


@pytest.mark.parametrize("passed_on", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("grace", "too long"),
        JobNotFound("a"),
        CommandNotFound("no such command", 2),
        Unavailable("down"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_in_another_process(
    error: GprocError, passed_on: Callable[[GprocError], GprocError]
) -> None:
    again = passed_on(error)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
