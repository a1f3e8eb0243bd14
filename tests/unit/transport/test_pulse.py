import pytest

from gproc.transport import TransportLimits
from gproc.transport.pulse import Facts, Step, next_step, pulse_interval

LIMITS = TransportLimits(
    first_request_timeout=10, idle_timeout=100, max_age=1000, keepalive_time=60, keepalive_timeout=20
)
BUSY = Facts(
    now=500.0,
    opened_at=0.0,
    heard_at=499.0,
    asked_at=None,
    idle_since=None,
    was_used=True,
    is_server=True,
    is_leaving=False,
)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({}, Step.NOTHING),
        ({"heard_at": 440.0}, Step.ASK),
        ({"heard_at": 440.1}, Step.NOTHING),
        ({"heard_at": 440.0, "asked_at": 481.0}, Step.NOTHING),
        ({"heard_at": 440.0, "asked_at": 480.0}, Step.ABORT_SILENT),
        ({"was_used": False, "idle_since": 495.0, "opened_at": 490.0}, Step.ABORT_UNUSED),
        ({"was_used": False, "idle_since": 495.0, "opened_at": 490.1}, Step.NOTHING),
        ({"idle_since": 400.0}, Step.LEAVE_IDLE),
        ({"now": 1000.0, "heard_at": 1000.0}, Step.LEAVE_OLD),
        ({"now": 1000.0, "heard_at": 1000.0, "is_leaving": True}, Step.NOTHING),
        ({"is_server": False, "idle_since": 0.0, "heard_at": 0.0}, Step.NOTHING),
        ({"is_server": False, "heard_at": 0.0}, Step.ASK),
    ],
)
def test_what_is_done_about_a_connection(change: dict[str, object], step: Step) -> None:
    assert next_step(BUSY._replace(**change), LIMITS) is step  # type: ignore[arg-type]


def test_the_pulse_is_quick_against_the_shortest_limit() -> None:
    assert pulse_interval(TransportLimits(stall_timeout=2)) == 0.25
    assert pulse_interval(TransportLimits(stall_timeout=0.001)) == 0.01
