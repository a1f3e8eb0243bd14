"""One verb a file; each defines ``command``. None is imported before it is used: `VERBS` is all ``--help`` needs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ELSEWHERE", "SECTIONS", "VERBS", "Verb"]


class Verb(NamedTuple):
    """A verb as the first help page shows it; the verb's own page begins with the same sentence."""

    name: str
    section: str
    summary: str


RUN, LOOK, STEER, SERVER, SETUP = "Run", "Look", "Steer", "Server", "Set up"

SECTIONS = (RUN, LOOK, STEER, SERVER, SETUP)

_VERBS = (
    Verb("start", RUN, "Start a job and print its id."),
    Verb("run", RUN, "Run a job, show its output, and exit with its code."),
    Verb("attach", RUN, "Join a running job's input, output and terminal."),
    Verb("output", LOOK, "Show a job's output from the beginning, then live."),
    Verb("watch", LOOK, "Watch jobs in live panes."),
    Verb("list", LOOK, "List your jobs, newest first."),
    Verb("status", LOOK, "Tell how a job is."),
    Verb("wait", STEER, "Wait until jobs have ended."),
    Verb("stop", STEER, "Stop jobs and everything they started."),
    Verb("signal", STEER, "Send a signal to a running job."),
    Verb("remove", STEER, "Forget finished jobs and their output."),
    Verb("serve", SERVER, "Run the server."),
    Verb("certs", SERVER, "Make, list and revoke certificates."),
    Verb("demo", SETUP, "See a job's live output over mutual TLS, now, here."),
    Verb("context", SETUP, "Remember servers and certificates under a name."),
    Verb("doctor", SETUP, "Find out what is wrong with a connection."),
    Verb("completion", SETUP, "Print what makes a shell complete commands and job ids."),
)

VERBS = {verb.name: verb for verb in _VERBS}

ELSEWHERE = {
    "add": "start",
    "cat": "output",
    "exec": "run",
    "follow": "output",
    "help": "--help",
    "inspect": "status",
    "jobs": "list",
    "kill": "stop",
    "log": "output",
    "logs": "output",
    "ls": "list",
    "ps": "list",
    "rm": "remove",
    "show": "status",
    "tail": "output",
    "top": "watch",
}
"""What other tools call it, and what it is here: no second names, but an answer to whoever brings the word along."""
