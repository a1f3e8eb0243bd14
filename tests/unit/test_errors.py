from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from gproc.errors import (
    CommandNotExecutable,
    CommandNotFound,
    GprocError,
    InvalidArgument,
    JobNotFound,
    StartFailed,
    Unavailable,
)


def test_only_a_program_that_cannot_be_executed_has_an_exit_code_of_its_own() -> None:
    kinds = (GprocError, StartFailed, JobNotFound, CommandNotFound, CommandNotExecutable)
    assert [kind.exit_code for kind in kinds] == [125, 125, 125, 127, 126]


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
