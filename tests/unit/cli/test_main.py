from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gproc.cli.commands import ELSEWHERE, VERBS, Verb
from gproc.cli.main import run
from gproc.model import JobState

NOTHING = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}


def gproc(*args: str, env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("GPROC_", "XDG_", "NO_COLOR"))}
    return subprocess.run(
        [sys.executable, "-m", "gproc", *args],
        capture_output=True,
        text=True,
        timeout=30,
        env={**clean, **NOTHING, **env},
        stdin=subprocess.DEVNULL,
        check=False,
    )


class Here:
    """The command line in this process: quick, for what needs no process of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        code = run(args)
        captured = self._capsys.readouterr()
        return subprocess.CompletedProcess(args, code, captured.out, captured.err)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    for name in [name for name in os.environ if name.startswith(("GPROC_", "XDG_"))]:
        monkeypatch.delenv(name)
    for name, value in NOTHING.items():
        monkeypatch.setenv(name, value)
    return Here(capsys)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--nonsense",), "gproc: No such option"),
        (("list", "--addr", "x:1"), "gproc: list: --addr is said before the command: `gproc --addr ... list`"),
        (("lst",), "gproc: there is no command 'lst'; did you mean `gproc list`?"),
        (("start",), "gproc: start: Missing argument 'COMMAND'"),
        (("start", "--timeout", "soon", "ls"), "gproc: start: Invalid value for '--timeout': 'soon' is not a duration"),
        (("start", "-e", "novalue", "ls"), "gproc: start: -e 'novalue': must be K=V"),
        (("stop", "--signal", "BANG", "x"), "gproc: stop: Invalid value for '--signal'"),
        (("output", "--since", "yesterday", "x"), "gproc: output: --since 'yesterday': is neither a time"),
        (("output", "--since", "99999999h", "x"), "gproc: output: --since '99999999h': is neither a time"),
        (("output", "--offset", "-1", "x"), "gproc: output: Invalid value for '--offset'"),
        (("start", "--cpu", "nan", "ls"), "gproc: start: Invalid value for '--cpu': 'nan' is not between"),
        (("start", "--cpu", "1e400", "ls"), "gproc: start: Invalid value for '--cpu': '1e400' is not between"),
        (("start", "--processes", str(10**30), "ls"), "gproc: start: Invalid value for '--processes'"),
        (("output", "--offset", str(10**30), "x"), "gproc: output: Invalid value for '--offset'"),
        (("start", "-C", "", "ls"), "gproc: start: Invalid value for '-C' / '--directory': must not be empty"),
        (("--cacert", "", "list"), "gproc: Invalid value for '--cacert': must not be empty"),
        (("--addr", "", "list"), "gproc: Invalid value for '--addr': must not be empty"),
        (("--context", "", "list"), "gproc: Invalid value for '--context': must not be empty"),
        (("list", "--name", ""), "gproc: list: Invalid value for '--name': must not be empty; name a job"),
        (("start", "--request-id", "", "ls"), "gproc: start: Invalid value for '--request-id': must not be empty"),
        (("context", "add", "x", "--addr", ""), "gproc: context add: Invalid value for '--addr': must not be empty"),
        (("certs", "init", ""), "gproc: certs init: Invalid value for 'DIR': must not be empty"),
        (("serve", "--state-dir", ""), "gproc: serve: Invalid value for '--state-dir': must not be empty"),
        (("context", "add", "x", "--key", ""), "gproc: context add: Invalid value for '--key': must not be empty"),
        (("list", "--running", "--state", "exited"), "gproc: list: --running and --state exited: no job is both"),
        (("list", "--all", "--limit", "3"), "gproc: list: --all and --limit: give one of them"),
        (("list", "--running", "--failed"), "gproc: list: --running and --failed: no job is both"),
        (("list", "--failed", "--state", "stopped"), "gproc: list: --failed and --state stopped: no job is both"),
        (("list", "-q", "--json"), "gproc: list: --quiet and --json: give one of them"),
        (("list", "--label", "a=1", "--label", "a=2"), "gproc: list: --label a=1 and --label a=2: no job has both"),
        (("stop", "--label", "a=1", "--label", "a=2"), "gproc: stop: --label a=1 and --label a=2: no job has both"),
        (("stop", "--label", "a=1", "x"), "gproc: stop: ID or --label: give one of them"),
        (("stop",), "gproc: stop: ID or --label: give one of them"),
        (("context", "add", "x"), "gproc: context add: nothing to remember; give --addr HOST:PORT"),
        (("context", "add", "x", "--addr", "nonsense"), "gproc: context add: address 'nonsense': the port is missing"),
        (("context", "add", "x", "--addr", "h:99999"), "gproc: context add: address 'h:99999': 99999 is not a port"),
        (("wait",), "gproc: wait: Missing argument 'ID...'"),
        (("completion",), "gproc: completion: Missing argument 'SHELL'. Choose from: bash, zsh, fish"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(here: Here, args: tuple[str, ...], problem: str) -> None:
    done = here(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(problem)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "use"),
    [
        (("ps", "-a"), "gproc list"),
        (("ls",), "gproc list"),
        (("logs", "-f", "x"), "gproc output"),
        (("tail", "x"), "gproc output"),
        (("kill", "x"), "gproc stop"),
        (("rm", "x"), "gproc remove"),
        (("top",), "gproc watch"),
        (("help", "list"), "gproc --help"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_the_command_to_use(
    here: Here, args: tuple[str, ...], use: str
) -> None:
    done = here(*args)
    told = f"gproc: there is no command {args[0]!r}; use `{use}`\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("certs", "ls"), "certs: there is no command 'ls'; use `gproc certs list`"),
        (("certs", "rm", "x"), "certs: there is no command 'rm'; `gproc certs --help` shows them"),
        (("certs", "cliant"), "certs: there is no command 'cliant'; did you mean `gproc certs client`?"),
        (("context", "rm", "x"), "context: there is no command 'rm'; use `gproc context remove`"),
        (("context", "help"), "context: there is no command 'help'; use `gproc context --help`"),
    ],
)
def test_a_wrong_word_below_a_group_is_answered_with_a_command_of_that_group(
    here: Here, args: tuple[str, ...], told: str
) -> None:
    done = here(*args)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"gproc: {told}\n")


def test_every_word_of_another_tool_leads_to_a_command_that_there_is() -> None:
    assert ELSEWHERE.keys().isdisjoint(VERBS)
    assert {*ELSEWHERE.values()} <= {*VERBS, "--help"}


@pytest.mark.parametrize("args", [("list",), ("status", "x"), ("start", "ls"), ("serve", "--state-dir", "/s")])
def test_missing_settings_are_one_line_and_exit_code_125(here: Here, args: tuple[str, ...]) -> None:
    done = here(*args)
    assert (done.returncode, done.stdout) == (125, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gproc: settings are missing: --addr or GPROC_ADDR, --cacert or ")
    for way in ("--key or GPROC_KEY", "/gproc/config.toml", "gproc context add"):
        assert way in line


@pytest.mark.parametrize("args", [("attach", "x"), ("run", "-i", "cat"), ("run", "-t", "top")])
def test_what_the_server_cannot_do_is_said_in_one_line(here: Here, args: tuple[str, ...]) -> None:
    done = here(*args)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
    assert "this server cannot" in done.stderr


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_a_verb_has_a_help_page_that_begins_as_the_first_page_says(here: Here, verb: Verb) -> None:
    done = here(verb.name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert verb.summary in " ".join(done.stdout.split())


def test_the_help_of_list_says_which_states_there_are_and_what_repeating_a_filter_means(here: Here) -> None:
    page = " ".join(here("list", "--help").stdout.split())
    assert all(state.value in page for state in JobState)
    assert "; may be repeated, for any of them" in page
    assert "; may be repeated, for all of them" in page


def test_the_first_help_page_imports_no_verb_and_nothing_heavy() -> None:
    code = "import sys; from gproc.cli.main import run; run(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = done.stderr
    assert "Usage: gproc" in done.stdout
    assert "'gproc.cli.commands'" in loaded
    for heavy in ("gproc.cli.commands.", "gproc.model", "gproc.errors", "'rich", "'asyncio", "'grpclib"):
        assert heavy not in loaded


@pytest.mark.parametrize("verb", ["run", "start", "status", "list", "signal", "remove"])
def test_the_help_page_of_a_verb_imports_nothing_that_connects(verb: str) -> None:
    told = gproc(verb, "--help", env={"PYTHONPROFILEIMPORTTIME": "1"}).stderr
    assert "gproc.cli.session" in told
    for heavy in ("gproc.client", "asyncio", "grpclib", "rich"):
        assert f"| {heavy}" not in " ".join(told.split())


def test_an_unexpected_error_is_one_line_and_shows_its_place_when_asked(tmp_path: Path) -> None:
    code = (
        "import gproc.cli.commands.completion as c\n"
        "def broken(*a, **k): raise ZeroDivisionError('by\\nzero')\n"
        "c.command.callback = broken\n"
        "from gproc.cli.entry import main; main()"
    )
    base = [sys.executable, "-c", code, "completion", "bash"]
    done = subprocess.run(base, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("gproc: internal error: ZeroDivisionError: by zero; ")
    assert len(done.stderr.splitlines()) == 1
    done = subprocess.run(
        base, capture_output=True, text=True, timeout=30, check=False, env={**os.environ, "GPROC_DEBUG": "1"}
    )
    assert done.returncode == 125
    assert "Traceback" in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m gproc completion zsh | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete -o nosort"), ("zsh", "compdef"), ("fish", "complete ")])
def test_each_shell_gets_its_completion(here: Here, shell: str, word: str) -> None:
    done = here("completion", shell)
    assert done.returncode == 0
    assert word in done.stdout
    assert "_GPROC_COMPLETE" in done.stdout


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an authority, and carol's certificate."""
    directory = tmp_path_factory.mktemp("authority") / "pki"
    gproc("certs", "init", str(directory))
    gproc("certs", "client", str(directory), "carol")
    return directory


@pytest.mark.parametrize("addr", ["", "localhost:1", "a..b:3", "\udcff:3"])
def test_completion_without_a_server_is_quiet_and_quick(pki: Path, addr: str) -> None:
    words = {"_GPROC_COMPLETE": "bash_complete", "COMP_WORDS": "gproc status 0", "COMP_CWORD": "2"}
    files = {"GPROC_CACERT": f"{pki}/ca.crt", "GPROC_CERT": f"{pki}/carol.crt", "GPROC_KEY": f"{pki}/carol.key"}
    done = gproc("_", env={**words, **files, "GPROC_ADDR": addr})
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.fixture
def slow_lookups(pki: Path) -> list[str]:
    """Give a command line on which every name is looked up for as long as with a name server that does not answer."""
    code = (
        "import socket, time; socket.getaddrinfo = lambda *_a, **_k: print('asked', flush=True) or time.sleep(20)\n"
        "from gproc.cli.entry import main; main()"
    )
    files = ("--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/carol.crt", "--key", f"{pki}/carol.key")
    return [sys.executable, "-c", code, "--addr", "host.example:1", *files]


def test_a_completion_asks_the_server_that_is_named_before_and_does_not_wait_for_its_look_up(
    slow_lookups: list[str],
) -> None:
    words = {"COMP_WORDS": " ".join(["gproc", *slow_lookups[3:], "status", "0"]), "COMP_CWORD": "10"}
    env = {**os.environ, "_GPROC_COMPLETE": "bash_complete", **words}
    done = subprocess.run(slow_lookups[:3], capture_output=True, text=True, env=env, timeout=10, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["asked"], "")


def test_ctrl_c_does_not_wait_for_a_name_that_is_looked_up(slow_lookups: list[str]) -> None:
    with subprocess.Popen([*slow_lookups, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asked\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(5) == 130
        finally:
            process.kill()


def test_verbs_are_completed() -> None:
    done = gproc("_", env={"_GPROC_COMPLETE": "bash_complete", "COMP_WORDS": "gproc st", "COMP_CWORD": "1"})
    assert done.stdout.split() == ["plain,start", "plain,status", "plain,stop"]


def test_no_verb_is_imported_to_complete_its_name() -> None:
    words = {"_GPROC_COMPLETE": "bash_complete", "COMP_WORDS": "gproc st", "COMP_CWORD": "1"}
    told = gproc("_", env={**words, "PYTHONPROFILEIMPORTTIME": "1"}).stderr
    assert "gproc.cli.commands" in told
    assert "gproc.cli.session" not in told  # all of these verbs need it


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("gproc --cert ", "file,"),
        ("gproc --cacert pki/c", "file,pki/c"),
        ("gproc serve --config s", "file,s"),
        ("gproc serve --state-dir s", "dir,s"),
        ("gproc certs init p", "dir,p"),
        ("gproc start -C /t", "dir,/t"),
        ("gproc context add x --key k", "file,k"),
        ("gproc stop --signal us", "plain,USR1 plain,USR2"),
        ("gproc signal x SIGUSR", "plain,SIGUSR1 plain,SIGUSR2"),
        ("gproc --context pr", "plain,prod"),
        ("gproc context use pr", "plain,prod"),
    ],
)
def test_files_signals_and_contexts_are_completed(tmp_path: Path, line: str, completed: str) -> None:
    assert gproc("context", "add", "prod", "--addr", "p:1", env={"XDG_CONFIG_HOME": str(tmp_path)}).returncode == 0
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = gproc("_", env={"_GPROC_COMPLETE": "bash_complete", "XDG_CONFIG_HOME": str(tmp_path), **words})
    assert (done.stdout.split(), done.stderr) == (completed.split(), "")


def test_a_context_with_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    done = gproc("context", "add", "x", "--cert", "/nowhere/a.crt", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 0
    assert done.stderr.startswith("gproc: /nowhere/a.crt: there is no such file")


def test_certificates_say_what_to_do_next(tmp_path: Path) -> None:
    pki = str(tmp_path / "pki")
    assert "next: gproc certs server" in gproc("certs", "init", pki).stderr
    made = gproc("certs", "server", pki, "--host", "localhost").stderr
    assert f"next: gproc --addr localhost:3000 --cacert {pki}/ca.crt --cert {pki}/server.crt" in made
    made = gproc("certs", "client", pki, "carol").stderr
    assert f"next: gproc context add NAME --addr HOST:PORT --cacert {pki}/ca.crt --cert {pki}/carol.crt" in made
    (tmp_path / "bad.key").touch(0o600)
    files = ("--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/carol.crt", "--key", str(tmp_path / "bad.key"))
    done = gproc("--addr", "localhost:1", *files, "list")
    assert done.returncode == 125
    assert "not in PEM" in done.stderr
    assert "_ssl.c" not in done.stderr


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_address_to_serve_at_is_one_that_can_be_given(tmp_path: Path, host: str) -> None:
    pki = str(tmp_path / "pki")
    gproc("certs", "init", pki)
    assert "next: gproc --addr [::1]:3000 " in gproc("certs", "server", pki, "--host", host).stderr


def test_a_name_that_no_host_can_have_is_told_as_one(tmp_path: Path) -> None:
    pki = str(tmp_path / "pki")
    gproc("certs", "init", pki)
    gproc("certs", "client", pki, "carol")
    files = ("--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/carol.crt", "--key", f"{pki}/carol.key")
    done = gproc("--addr", f"{'ä' * 60}.example:1", *files, "list")
    assert done.returncode == 125
    assert done.stderr.endswith(".example:1: no host can have this name; check --addr\n")


def test_contexts_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    add = [sys.executable, "-m", "gproc", "context", "add", "--addr", "host:1"]
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    adding = [subprocess.Popen([*add, f"c{number}"], env=env, stderr=subprocess.DEVNULL) for number in range(8)]
    assert [process.wait(30) for process in adding] == [0] * 8
    assert len(gproc("context", "list", env={"XDG_CONFIG_HOME": str(tmp_path)}).stdout.splitlines()) == 8


def test_a_path_below_a_home_that_nobody_has_is_remembered_as_it_is(tmp_path: Path) -> None:
    done = gproc("context", "add", "x", "--cert", "~nobody-has-this/a.crt", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 0
    assert "~nobody-has-this/a.crt: there is no such file" in done.stderr


def test_a_server_that_says_nothing_is_not_waited_for_in_silence_or_for_long(tmp_path: Path) -> None:
    pki = str(tmp_path / "pki")
    gproc("certs", "init", pki)
    gproc("certs", "client", pki, "carol")
    files = ("--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/carol.crt", "--key", f"{pki}/carol.key")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        addr = f"127.0.0.1:{mute.getsockname()[1]}"
        code = (
            "import gproc.cli.loop as l; l._QUIET_SECONDS, l._CONNECT_SECONDS = 0.2, 0.6\n"
            "from gproc.cli.entry import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "--addr", addr, *files, "list"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 125
    waiting, gave_up = done.stderr.splitlines()
    assert waiting == f"gproc: waiting for {addr} to answer"
    assert gave_up.startswith(f"gproc: {addr}: no answer within 0.6 s; ")


def test_whoever_removes_the_current_context_is_told_how_to_choose_another(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    for name in ("one", "two"):
        gproc("context", "add", name, "--addr", "localhost:3000", env=env)
    told = gproc("context", "remove", "one", env=env).stderr
    assert told.startswith("gproc: 'one' was the current context, and now there is none; `gproc context use NAME`")
    assert gproc("context", "remove", "two", env=env).stderr == ""


def test_where_there_are_no_contexts_people_are_told_how_to_make_one_and_programs_get_an_empty_list(
    tmp_path: Path,
) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    to_people, to_programs = gproc("context", "list", env=env), gproc("context", "list", "--json", env=env)
    assert (to_people.returncode, to_people.stdout) == (0, "")
    assert to_people.stderr.startswith("gproc: no contexts; `gproc context add NAME ")
    assert (to_programs.returncode, to_programs.stdout, to_programs.stderr) == (0, "[]\n", "")


def test_contexts_are_made_used_shown_and_removed(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert gproc("context", "add", "prod", "--addr", "p:1", "--key", "/k", env=env).returncode == 0
    assert gproc("context", "add", "test", "--addr", "t:1", env=env).returncode == 0
    assert gproc("context", "list", env=env).stdout == "* prod  p:1\n  test  t:1\n"
    assert json.loads(gproc("context", "list", "--json", env=env).stdout) == [
        {"name": "prod", "current": True, "addr": "p:1", "key": "/k"},
        {"name": "test", "current": False, "addr": "t:1"},
    ]
    assert gproc("context", "use", "test", env=env).returncode == 0
    shown = gproc("context", "show", env={**env, "GPROC_KEY": "/other"}).stdout
    assert [line.split()[:3] for line in shown.splitlines()] == [
        ["addr", "t:1", "from"],
        ["key", "/other", "from"],
    ]
    assert gproc("context", "remove", "test", env=env).returncode == 0
    gone = gproc("--context", "test", "list", env=env)
    assert gone.returncode == 125
    assert "context 'test' (--context): not in" in gone.stderr
