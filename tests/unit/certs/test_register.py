from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.certs import CertificateKind
from gproc.certs._register import Entry, Register

NOW = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)

times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
entries = st.builds(
    Entry,
    name=st.sampled_from(["alice", "bob", "server"]),
    kind=st.sampled_from(CertificateKind),
    serial=st.integers(min_value=1, max_value=2**159),
    not_before=times,
    not_after=times,
    hosts=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    revoked_at=st.none() | times,
)
registers = st.builds(
    Register,
    entries=st.lists(entries, max_size=5).map(tuple),
    list_number=st.integers(min_value=0, max_value=10**6),
    list_updated_at=st.none() | times,
)


def entry(name: str, serial: int, revoked_at: datetime | None = None) -> Entry:
    return Entry(
        name=name,
        kind=CertificateKind.CLIENT,
        serial=serial,
        not_before=NOW,
        not_after=NOW + timedelta(days=1),
        revoked_at=revoked_at,
    )


@given(registers)
def test_a_register_comes_back_from_disk_as_it_was(register: Register) -> None:
    assert Register.from_json(register.to_json()) == register


@given(registers, st.data())
def test_a_register_cut_off_anywhere_is_not_taken_for_a_whole_one(register: Register, data: st.DataObject) -> None:
    content = register.to_json().rstrip()
    cut = data.draw(st.integers(min_value=0, max_value=len(content) - 1))
    with pytest.raises(ValueError, match=r"."):
        Register.from_json(content[:cut])


@given(registers, st.lists(times, min_size=2, max_size=6))
def test_a_list_is_later_than_the_one_before_but_for_one_of_the_future_and_never_of_the_future_itself(
    register: Register, clock: list[datetime]
) -> None:
    for now in clock:
        after = register.with_new_list(at=now - timedelta(minutes=5), now=now)
        assert after.list_updated_at is not None
        assert after.list_number == register.list_number + 1
        assert after.list_updated_at <= now
        if register.list_updated_at is not None and register.list_updated_at < now - timedelta(seconds=1):
            assert after.list_updated_at > register.list_updated_at
        register = after


def test_revoking_a_name_takes_back_all_that_was_issued_to_it() -> None:
    register = Register(entries=(entry("alice", 1), entry("bob", 2), entry("alice", 3)))
    assert list(register.with_revoked("alice", at=NOW).revoked()) == [(1, NOW), (3, NOW)]


def test_revoking_again_keeps_the_first_time() -> None:
    register = Register(entries=(entry("alice", 1, revoked_at=NOW), entry("alice", 2)))
    later = NOW + timedelta(hours=1)
    assert list(register.with_revoked("alice", at=later).revoked()) == [(1, NOW), (2, later)]
