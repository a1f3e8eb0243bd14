from __future__ import annotations

import grp
import os
import pwd

import pytest

from gproc.errors import ConfigError, PermissionDenied
from gproc.server.users import resolve_user, resolve_users

ROOT = pwd.getpwuid(0).pw_name
SOMEBODY = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))


def test_root_must_say_who_runs_the_jobs() -> None:
    with pytest.raises(ConfigError, match="--run-as root if that is meant"):
        resolve_users(None, {}, euid=0)


def test_root_may_mean_root() -> None:
    assert resolve_users(ROOT, {}, euid=0).of("alice") is None


def test_an_ordinary_server_runs_all_jobs_as_itself() -> None:
    assert resolve_users(None, {}, euid=12345).of("alice") is None


def test_only_root_can_run_jobs_as_somebody_else() -> None:
    with pytest.raises(ConfigError, match=f"only root .* start the server as root or as {SOMEBODY.pw_name}$"):
        resolve_users(SOMEBODY.pw_name, {}, euid=SOMEBODY.pw_uid + 1)


@pytest.mark.parametrize(("run_as", "users"), [(ROOT, {}), (None, {"alice": ROOT})])
def test_a_server_that_is_to_run_jobs_as_root_must_be_started_as_root(
    run_as: str | None, users: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=r"start the server as root$"):
        resolve_users(run_as, users, euid=12345)


def test_an_ordinary_server_may_be_told_its_own_name() -> None:
    assert resolve_users(SOMEBODY.pw_name, {}, euid=SOMEBODY.pw_uid).of("alice") is None


def test_the_map_of_users_wins_over_the_default() -> None:
    users = resolve_users(ROOT, {"bob": SOMEBODY.pw_name}, euid=0)
    chosen = users.of("bob")
    assert chosen is not None
    assert (chosen.user, chosen.uid, chosen.home) == (SOMEBODY.pw_name, SOMEBODY.pw_uid, SOMEBODY.pw_dir)
    assert users.of("alice") is None
    turned = resolve_users(SOMEBODY.pw_name, {"bob": ROOT}, euid=0)
    assert (turned.of("bob"), turned.of("alice")) == (None, chosen)


def test_under_root_an_owner_outside_the_map_runs_nothing() -> None:
    with pytest.raises(PermissionDenied, match="owner alice"):
        resolve_users(None, {"bob": SOMEBODY.pw_name}, euid=0).of("alice")


def test_a_user_comes_with_all_its_groups() -> None:
    user = resolve_user(SOMEBODY.pw_name)
    also = {group.gr_gid for group in grp.getgrall() if SOMEBODY.pw_name in group.gr_mem}
    assert set(user.groups) >= also | {SOMEBODY.pw_gid}


def test_an_unknown_user_is_named_with_the_place_that_speaks_of_it() -> None:
    with pytest.raises(ConfigError, match=r"^gproc\.toml: users\.alice: user no-such-user-here: there is no such user"):
        resolve_users(None, {"alice": "no-such-user-here"}, euid=0, source="gproc.toml")
    with pytest.raises(ConfigError, match=r"^--run-as: user no-such-user-here: there is no such user"):
        resolve_users("no-such-user-here", {}, euid=0)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-user-here"):
        resolve_user("no-such-user-here")


@pytest.mark.parametrize(
    ("run_as", "users", "risk"),
    [
        (ROOT, {}, "can read its key"),
        (SOMEBODY.pw_name, {}, f"run as {SOMEBODY.pw_name}"),
        (None, {"alice": SOMEBODY.pw_name}, ""),
    ],
)
def test_what_owners_who_share_a_user_can_do_to_each_other_is_said(
    run_as: str | None, users: dict[str, str], risk: str
) -> None:
    said = resolve_users(run_as, users, euid=0).risk()

    assert risk in said
    assert bool(said) is bool(risk)
