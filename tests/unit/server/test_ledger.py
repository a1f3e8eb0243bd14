from __future__ import annotations

from contextlib import ExitStack

import pytest

from gproc.errors import QuotaExceeded
from gproc.model.policy import Quotas
from gproc.server.ledger import Ledger


def test_f3_one_owner_at_the_limit_does_not_hinder_another() -> None:
    ledger = Ledger(Quotas(followers=2))
    with ExitStack() as open_now:
        for _ in range(2):
            open_now.enter_context(ledger.following("alice"))
        with pytest.raises(QuotaExceeded, match="followers: alice has 2"), ledger.following("alice"):
            pass
        with ledger.following("bob"):
            pass
    with ledger.following("alice"):
        pass


def test_followers_are_counted_as_they_come_and_leave() -> None:
    ledger = Ledger(Quotas(followers=2))
    with ledger.following("alice"):
        with ledger.following("alice"):
            pass
        with ledger.following("alice"), pytest.raises(QuotaExceeded), ledger.following("alice"):
            pass
    assert not ledger._followers


def test_a_follower_that_fails_is_counted_no_more() -> None:
    ledger = Ledger(Quotas(followers=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), ledger.following("alice"):
            raise ZeroDivisionError


def test_running_jobs_are_counted_only_if_they_are_limited() -> None:
    def running() -> int:
        raise AssertionError("nobody asked")

    Ledger(Quotas()).count_start("alice", running)
    with pytest.raises(QuotaExceeded, match="running jobs"):
        Ledger(Quotas(running_jobs=2)).count_start("alice", lambda: 2)


def test_starts_are_limited_by_the_clock() -> None:
    now = [0.0]
    ledger = Ledger(Quotas(starts_per_second=1), clock=lambda: now[0])
    ledger.count_start("alice", int)
    ledger.count_start("bob", int)
    with pytest.raises(QuotaExceeded):
        ledger.count_start("alice", int)
    now[0] = 1.0
    ledger.count_start("alice", int)


def test_owners_whose_bucket_is_full_again_are_forgotten() -> None:
    now = [0.0]
    ledger = Ledger(Quotas(starts_per_second=1), clock=lambda: now[0])
    for number in range(1000):
        ledger.count_start(f"owner{number}", int)
        now[0] += 1
    assert len(ledger._starts) <= 64
