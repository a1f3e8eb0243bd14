from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.errors import PermissionDenied, QuotaExceeded
from gproc.model import JobRequest
from gproc.model.policy import Rule
from gproc.server.policy import Bucket, check_command, check_quota, take_token


def asks(command: str, cwd: str = "", **env: str) -> JobRequest:
    return JobRequest(command=command, working_directory=cwd, env=env)


def test_without_rules_everybody_may_run_everything() -> None:
    check_command((), "alice", asks("rm"))


def test_the_first_rule_for_an_owner_decides() -> None:
    rules = (Rule(owner="al*", deny=("rm",)), Rule(owner="*", deny=("ls",)))
    check_command(rules, "alice", asks("ls"))
    with pytest.raises(PermissionDenied, match=r"'ls'.*bob"):
        check_command(rules, "bob", asks("ls"))


def test_owners_are_told_apart_by_case() -> None:
    check_command((Rule(owner="alice", deny=("*",)),), "Alice", asks("ls"))


@pytest.mark.parametrize("command", ["rm", "/bin/rm", "./rm", "/usr/local/../bin/rm"])
def test_a_denied_name_is_denied_by_any_path(command: str) -> None:
    with pytest.raises(PermissionDenied):
        check_command((Rule(deny=("rm",)),), "alice", asks(command))


def test_a_denied_path_is_denied_however_it_is_written() -> None:
    with pytest.raises(PermissionDenied):
        check_command((Rule(deny=("/opt/bad/*",)),), "alice", asks("/opt/./bad//tool"))


def test_what_lies_deeper_than_a_denied_path_is_denied() -> None:
    with pytest.raises(PermissionDenied):
        check_command((Rule(deny=("/opt/bad/*",)),), "alice", asks("/opt/bad/deeper/tool"))


@pytest.mark.parametrize(
    ("command", "cwd"), [("ls", ""), ("/usr/bin/sort", ""), ("bin/sort", "/usr"), ("/usr/./bin//sort", "")]
)
def test_what_an_allow_list_names_may_run(command: str, cwd: str) -> None:
    check_command((Rule(allow=("ls", "/usr/bin/*")),), "alice", asks(command, cwd))


@pytest.mark.parametrize(
    ("command", "cwd"),
    [
        ("cat", ""),
        ("/tmp/ls", ""),
        ("./ls", ""),
        ("/usr/bin/../../tmp/sort", ""),
        ("bin/sort", "usr"),
        ("sort", "/usr/bin"),
        ("/tmp/link/../../usr/bin/sort", ""),
        ("../../usr/bin/sort", "/tmp/link"),
        ("usr/bin/sort", "/tmp/link/../.."),
        ("/usr/bin/deeper/sort", ""),
        ("/usr/sbin/sort", ""),
        ("/tmp/bin/sort", ""),
    ],
)
def test_what_an_allow_list_does_not_name_may_not_run(command: str, cwd: str) -> None:
    with pytest.raises(PermissionDenied, match="allows alice"):
        check_command((Rule(allow=("ls", "/usr/bin/*")),), "alice", asks(command, cwd))


@pytest.mark.parametrize(("pattern", "command"), [("*", "/tmp/ls"), ("*", "./ls"), ("*/bin/ls", "usr/bin/ls")])
def test_a_star_of_an_allow_list_makes_no_path_of_a_name_and_none_that_begins_nowhere(
    pattern: str, command: str
) -> None:
    with pytest.raises(PermissionDenied, match="allows alice"):
        check_command((Rule(allow=(pattern,)),), "alice", asks(command))


@pytest.mark.parametrize("variable", ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH"])
def test_an_allow_list_forbids_to_change_what_names_mean(variable: str) -> None:
    with pytest.raises(PermissionDenied, match=variable):
        check_command((Rule(allow=("ls",)),), "alice", asks("ls", **{variable: "/tmp"}))


def test_what_is_denied_is_denied_though_it_is_allowed() -> None:
    with pytest.raises(PermissionDenied):
        check_command((Rule(allow=("*",), deny=("rm",)),), "alice", asks("rm"))


def test_a_quota_is_reached_exactly_at_its_limit() -> None:
    check_quota("running jobs", 3, 2, "alice")
    with pytest.raises(QuotaExceeded, match="running jobs: alice has 3"):
        check_quota("running jobs", 3, 3, "alice")


def test_no_limit_is_never_reached() -> None:
    check_quota("followers", None, 10**9, "alice")


def test_a_full_bucket_gives_one_second_of_starts_and_then_no_more() -> None:
    bucket = None
    for _ in range(5):
        bucket = take_token(bucket, 5.0, 100.0, "alice")

    with pytest.raises(QuotaExceeded, match="5 jobs a second"):
        take_token(bucket, 5.0, 100.0, "alice")


def test_a_slow_rate_still_allows_the_first_start() -> None:
    bucket = take_token(None, 0.1, 0.0, "alice")
    with pytest.raises(QuotaExceeded):
        take_token(bucket, 0.1, 9.9, "alice")
    take_token(bucket, 0.1, 10.0, "alice")


def test_a_rate_of_0_allows_no_start_at_all() -> None:
    with pytest.raises(QuotaExceeded):
        take_token(None, 0, 0.0, "alice")


@given(rate=st.floats(0.1, 100), gaps=st.lists(st.floats(0, 2), max_size=60))
def test_no_sequence_of_starts_gets_past_the_rate(rate: float, gaps: list[float]) -> None:
    now, started, bucket = 0.0, 0, None
    for gap in gaps:
        now += gap
        try:
            bucket = take_token(bucket, rate, now, "alice")
        except QuotaExceeded:
            continue
        started += 1

    assert started <= max(1.0, rate) + now * rate + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    assert take_token(Bucket(2.0, 50.0), 1.0, 40.0, "alice").tokens == 0.0
