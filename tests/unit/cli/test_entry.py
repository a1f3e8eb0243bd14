from __future__ import annotations

import os
import signal
import subprocess
import sys

import pexpect  # type: ignore[import-untyped]  # it has no types
import pytest

GPROC = f"{sys.executable} -m gproc"
BARE = [(), ("certs",), ("context",)]
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("GPROC_", "XDG_", "NO_COLOR"))}


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False, env={**CLEAN, "HOME": "/", **env}
    )


@pytest.mark.parametrize("args", BARE, ids=" ".join)
def test_a_group_without_a_command_shows_its_help_and_is_bad_usage(args: tuple[str, ...]) -> None:
    done = shell(" ".join([GPROC, *args]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(" ".join(["Usage: gproc", *args, "[OPTIONS] COMMAND [ARGS]...\n"]))
    assert len(done.stderr.splitlines()) > 10


def test_a_group_without_a_command_draws_its_help_on_a_terminal() -> None:
    shown = pexpect.spawn(sys.executable, ["-m", "gproc"], env={**CLEAN, "TERM": "xterm-256color"}, timeout=20)
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 2
    assert b"\x1b[" in shown.before
    assert b"\\x" not in shown.before
    assert shown.before.count(b"\n") > 20


@pytest.mark.parametrize("verb", ["completion bash", "--help", "context --help"])
def test_output_that_cannot_be_written_is_one_line_that_names_it(verb: str) -> None:
    for redirection, problem in ((">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")):
        done = shell(f"{GPROC} {verb} {redirection}")
        assert (done.returncode, done.stderr) == (125, f"gproc: standard output: {problem}\n")


def test_talk_that_cannot_be_written_changes_nothing() -> None:
    for redirection in ("2>&-", "2>/dev/full", "<&- 2>&-"):
        done = shell(f"{GPROC} --version {redirection}")
        assert (done.returncode, done.stdout[:6], done.stderr) == (0, "gproc ", "")
        assert shell(f"{GPROC} --nonsense {redirection}").returncode == 2


def test_nothing_to_print_needs_no_output() -> None:
    assert shell(f"{GPROC} context list >&-").returncode == 0


def test_what_the_terminals_alphabet_does_not_have_is_spelt() -> None:
    done = shell(
        f"{GPROC} status 'Köln'", PYTHONUTF8="0", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONCOERCECLOCALE="0"
    )
    assert done.returncode == 125
    assert "internal error" not in done.stderr


@pytest.mark.parametrize("module", ["click", "gproc.cli.commands", "gproc.cli.main"])
def test_ctrl_c_while_modules_are_loaded_leaves_quietly(module: str) -> None:
    interrupted_at = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from gproc.cli.entry import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted_at, "list"], capture_output=True, timeout=30, check=False, env=CLEAN
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_ctrl_c_is_not_lost_where_nothing_can_be_raised() -> None:
    """Importing runs callbacks of weak references, for one."""
    code = (
        "import signal, weakref\n"
        "import gproc.cli.commands.completion as c\n"
        "def interrupted(**_):\n"
        "    thing = set()\n"
        "    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))\n"
        "    del thing\n"
        "    print('went on')\n"
        "c.command.callback = interrupted\n"
        "from gproc.cli.entry import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "completion", "bash"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); from gproc.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.returncode == 0
