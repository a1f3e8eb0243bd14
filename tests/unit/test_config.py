from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproc.config import (
    Context,
    ContextFile,
    context_file_path,
    load_contexts,
    load_server_config,
    parse_server_config,
    resolve_settings,
    save_contexts,
)
from gproc.errors import ConfigError
from gproc.model import OutputPolicy
from gproc.model.policy import Quotas, Rule
from gproc.store.retention import Retention

PROD = Context(name="prod", addr="prod:3000", cacert="/ca.crt", cert="/a.crt", key="/a.key")


def file_with(*contexts: Context, current: str | None = None) -> ContextFile:
    return ContextFile(path=Path("/c/config.toml"), contexts={c.name: c for c in contexts}, current=current)


def test_a_flag_goes_before_the_environment_and_the_environment_before_the_context() -> None:
    settings = resolve_settings(
        {"addr": "flag:1"}, {"GPROC_ADDR": "env:1", "GPROC_CERT": "/env.crt"}, file_with(PROD, current="prod")
    )
    assert settings.get("addr") is not None
    assert {name: setting.source for name, setting in settings.values.items()} == {
        "addr": "--addr",
        "cacert": "context 'prod' in /c/config.toml",
        "cert": "GPROC_CERT",
        "key": "context 'prod' in /c/config.toml",
    }
    assert settings.require("addr") == "flag:1"
    assert settings.require("cert") == "/env.crt"


def test_an_empty_variable_is_no_setting() -> None:
    assert resolve_settings({}, {"GPROC_ADDR": ""}, file_with()).get("addr") is None


def test_a_missing_setting_is_named_with_the_three_ways_to_give_it() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_settings({"addr": "a:1", "cert": "/a.crt", "key": "/a.key"}, {}, file_with()).require("cacert")
    for part in ("'cacert'", "--cacert", "GPROC_CACERT", "/c/config.toml", "gproc context add"):
        assert part in str(caught.value)


def test_all_missing_settings_are_named_at_once_with_the_ways_to_give_each() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_settings({"key": "/a.key"}, {}, file_with()).require("addr")
    assert str(caught.value) == (
        "settings are missing: --addr or GPROC_ADDR, --cacert or GPROC_CACERT, --cert or GPROC_CERT; "
        "give them so, or in a context in /c/config.toml (`gproc context add`)"
    )


@pytest.mark.parametrize("context", [Context(name="half", addr="a:1"), PROD._replace(name="half", key=None)])
def test_a_setting_missing_from_the_chosen_context_names_that_context(context: Context) -> None:
    settings = resolve_settings({"context": "half"}, {}, file_with(context))
    with pytest.raises(ConfigError, match=r"--key.* in context 'half' in /c/config\.toml$"):
        settings.require("key")


@pytest.mark.parametrize(
    ("flags", "environ", "asked_by"),
    [({"context": "nope"}, {}, "--context"), ({}, {"GPROC_CONTEXT": "nope"}, "GPROC_CONTEXT")],
)
def test_a_context_that_does_not_exist_is_an_error_that_says_who_asked(
    flags: dict[str, str | None], environ: dict[str, str], asked_by: str
) -> None:
    with pytest.raises(ConfigError, match=rf"'nope' \({asked_by}\).*contexts there: prod"):
        resolve_settings(flags, environ, file_with(PROD))


def test_the_file_is_where_xdg_says() -> None:
    assert context_file_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/gproc/config.toml")
    assert context_file_path({"HOME": "/home/a"}) == Path("/home/a/.config/gproc/config.toml")


def test_without_a_home_there_are_no_contexts_and_none_can_be_made() -> None:
    path = context_file_path({"XDG_CONFIG_HOME": "~nobody-has-this"})
    assert load_contexts(path).contexts == {}
    with pytest.raises(ConfigError, match="there is no home directory to keep contexts in; set XDG_CONFIG_HOME"):
        save_contexts(ContextFile(path=path).with_context(PROD))


def test_a_link_to_the_file_is_still_one_after_a_change(tmp_path: Path) -> None:
    link, real = tmp_path / "gproc" / "config.toml", tmp_path / "dotfiles" / "gproc.toml"
    link.parent.mkdir()
    link.symlink_to(real)
    save_contexts(ContextFile(path=link).with_context(PROD))
    assert link.readlink() == real
    assert load_contexts(real).contexts == {"prod": PROD}


def test_a_path_that_is_no_text_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = ContextFile(path=tmp_path / "config.toml").with_context(Context(name="x", key="/\udcff"))
    with pytest.raises(ConfigError, match="only UTF-8 can be kept"):
        save_contexts(file)
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[contexts.a]\r\naddr = 'a:1'\r\n")
    assert load_contexts(path).contexts == {"a": Context(name="a", addr="a:1")}


def test_no_file_means_no_contexts(tmp_path: Path) -> None:
    assert load_contexts(tmp_path / "none.toml").contexts == {}


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", fullmatch=True)


@given(st.dictionaries(names, st.tuples(texts, texts)))
def test_what_is_saved_is_loaded_again(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, tuple[str, str]]
) -> None:
    file = ContextFile(path=tmp_path_factory.mktemp("c") / "gproc" / "config.toml")
    for name, (addr, key) in pairs.items():
        file = file.with_context(Context(name=name, addr=addr, key=key))
    save_contexts(file)
    assert load_contexts(file.path) == file


def test_the_first_context_becomes_current_and_a_removed_one_is_not() -> None:
    file = file_with().with_context(PROD).with_context(Context(name="test", addr="t:1"))
    assert file.current == "prod"
    assert file.without_context("prod").current is None
    assert file.without_context("test").current == "prod"
    assert file.without_context("test").contexts == {"prod": PROD}


def test_a_context_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(ConfigError, match=r"'prod' \(to be removed\).*none yet; make one with `gproc context add`"):
        file_with().without_context("prod")


def test_the_directory_that_is_made_for_contexts_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = ContextFile(path=tmp_path / "config" / "gproc" / "config.toml")
    save_contexts(file)
    assert file.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_context_cannot_have_any_name() -> None:
    with pytest.raises(ConfigError, match="a name is"):
        file_with().with_context(Context(name="../x"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("contexts = 3", "contexts: must be a table"),
        ("[contexts.a]\naddr = 3", "contexts.a.addr: must be a text"),
        ("[contexts.a]\nadr = 'x'", "contexts.a.adr: there is no such key"),
        ("contexts.a = 1", "contexts.a: must be a table"),
        ("other = 1", "other: there is no such key"),
        ("current = 1", "current: must be a text"),
        ("[contexts.a]\naddr = ''", "contexts.a.addr: must be a text that is not empty"),
        ("= 1", "is not TOML"),
        ("a = " + "[" * 5_000, "is not TOML"),
        ("a = " + "1" * 5_000, "is not TOML"),
    ],
    ids=lambda text: text[:20],
)
def test_a_wrong_file_is_refused_by_file_and_key(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_contexts(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)


def test_a_file_that_is_not_text_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"current = '\xff'")
    with pytest.raises(ConfigError, match=rf"^{path}: is not TOML: 'utf-8' codec can't decode byte 0xff"):
        load_contexts(path)


def test_a_directory_in_place_of_the_file_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_contexts(tmp_path)


def test_contexts_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "gproc").write_text("a file where the directory should be", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_contexts(ContextFile(path=tmp_path / "gproc" / "config.toml"))
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        save_contexts(ContextFile(path=tmp_path / "config.toml"))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.toml", "gproc"]


def test_a_server_configuration_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        """
        [users]
        alice = "worker"
        [quotas]
        running_jobs = 8
        starts_per_second = 5
        output_bytes = "10G"
        [output]
        max_bytes = "1GiB"
        policy = "stop"
        [retention]
        age = "30d"
        count = 1000
        bytes = 4096
        [disk]
        reserve = "512M"
        [cgroup]
        path = "/sys/fs/cgroup/gproc"
        [[policy]]
        owner = "ci-*"
        allow = ["make", "/usr/bin/*"]
        [[policy]]
        deny = ["sh"]
        """,
        encoding="utf-8",
    )
    config = load_server_config(path)
    assert config.users == {"alice": "worker"}
    assert config.quotas == Quotas(running_jobs=8, starts_per_second=5)
    assert config.owner_output_bytes == 10 << 30
    assert (config.output.max_bytes, config.output.policy) == (1 << 30, OutputPolicy.STOP)
    assert (config.retention.age, config.retention.count, config.retention.bytes) == (timedelta(days=30), 1000, 4096)
    assert config.disk_reserve == 512 << 20
    assert config.cgroup == Path("/sys/fs/cgroup/gproc")
    assert config.policy == (Rule(owner="ci-*", allow=("make", "/usr/bin/*")), Rule(deny=("sh",)))
    assert config.source == str(path)


def test_an_empty_server_configuration_is_the_defaults() -> None:
    config = parse_server_config({}, source="x")
    assert (config.users, config.policy, config.disk_reserve) == ({}, (), None)
    assert (config.quotas, config.output.policy) == (Quotas(), OutputPolicy.DROP)
    assert config.retention == Retention()


def test_the_least_and_the_most_that_may_be_configured_are_taken() -> None:
    most = {"quotas": {"running_jobs": 0, "connections": 2**31 - 1}, "output": {"max_bytes": 2**63 - 1}}
    config = parse_server_config(most, source="x")
    assert config.quotas == Quotas(running_jobs=0, connections=2**31 - 1)
    assert config.output.max_bytes == 2**63 - 1


def test_a_bound_can_be_taken_away() -> None:
    config = parse_server_config({"retention": {"age": "none", "count": 5}}, source="x")
    assert config.retention == Retention(age=None, count=5)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"user": {}}, "user: there is no such key"),
        ({"users": {"alice": 0}}, "users.alice: must be a text"),
        ({"cgroup": {"path": "gproc"}}, "cgroup.path: must be a path from the root, not 'gproc'"),
        ({"quotas": {"jobs": 1}}, "quotas.jobs: there is no such key"),
        ({"quotas": {"running_jobs": -1}}, "quotas.running_jobs: must be a whole number"),
        ({"quotas": {"connections": 1 << 31}}, "quotas.connections: must be a whole number from 0 to 2147483647"),
        ({"quotas": {"starts_per_second": 10**400}}, "quotas.starts_per_second: must be a whole number"),
        ({"output": {"max_bytes": 1 << 63}}, "output.max_bytes: must be a whole number"),
        ({"quotas": {"running_jobs": True}}, "quotas.running_jobs: must be a whole number"),
        ({"output": {"policy": "explode"}}, "output.policy: 'explode'"),
        ({"output": {"max_bytes": "much"}}, "output.max_bytes: 'much' is not a size"),
        ({"retention": {"age": "long"}}, "retention.age: 'long' is not a duration"),
        ({"retention": {"age": 10**18}}, "retention.age: is longer than can be counted"),
        ({"retention": []}, "retention: must be a table"),
        ({"disk": {"reserve": 1.5}}, "disk.reserve: must be a whole number"),
        ({"policy": {}}, "policy: must be rules"),
        ({"policy": [1]}, "policy[1]: must be a table"),
        ({"policy": [{}, {"allow": "sh"}]}, "policy[2].allow: must be a list"),
        ({"disk": {"reserved": 1}}, "disk.reserved: there is no such key"),
        ({"cgroup": {"paths": "/x"}}, "cgroup.paths: there is no such key"),
        ({"output": {"bytes": 1}}, "output.bytes: there is no such key"),
        ({"retention": {"days": 1}}, "retention.days: there is no such key"),
        ({"policy": [{"owners": "a"}]}, "policy[1].owners: there is no such key"),
    ],
)
def test_a_wrong_server_configuration_is_refused_by_file_and_key(table: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server_config(table, source="server.toml")
    assert str(caught.value).startswith("server.toml: ")
    assert problem in str(caught.value)


def test_a_server_configuration_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_server_config(tmp_path / "none.toml")
