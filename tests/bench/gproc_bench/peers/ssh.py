"""OpenSSH: a server of our own on loopback, with its own keys, and the `ssh` client.

sshd runs commands through the user's shell, and bash then reads `~/.bashrc`. What somebody wrote there (it can take
100 ms) is not OpenSSH's doing, so sessions get a home directory of ours, unless ``--own-home`` was asked for.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gproc_bench.drivers.counting import Arrivals
from gproc_bench.processes import CallFailed, LineReader, end
from gproc_bench.session import Session, free_port, tool

__all__ = ["SshHost", "ssh_host"]

PIECE = 1024 * 1024
F_SETPIPE_SZ = 1031

SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {place}/host_key
AuthorizedKeysFile {place}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions 1000
MaxStartups 1000
PrintMotd no
PrintLastLog no
"""
EMPTY_HOME = "SetEnv HOME={place}\n"

CLIENT = """\
Host bench
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {place}/client_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {place}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  ControlPath {place}/mux
  ControlMaster no
  LogLevel ERROR
"""


@dataclass(frozen=True, slots=True)
class SshHost:
    """A running server, and the ways to it."""

    place: Path
    port: int
    user: str

    def fresh(self, *command: str) -> list[str]:
        """Return an `ssh` command line that makes a connection of its own."""
        return ["ssh", "-F", str(self.place / "ssh_config"), "-o", "ControlPath=none", "bench", *command]

    def reused(self, *command: str) -> list[str]:
        """Return an `ssh` command line that uses the open connection of `open_connection`."""
        return ["ssh", "-F", str(self.place / "ssh_config"), "bench", *command]

    def open_connection(self, stack: ExitStack) -> None:
        """Open the connection that `reused` commands share, until *stack* ends."""
        argv = ["ssh", "-F", str(self.place / "ssh_config"), "-M", "-N", "bench"]
        master = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        stack.callback(end, master)
        deadline = time.monotonic() + 20
        while not (self.place / "mux").exists():
            if time.monotonic() > deadline or master.poll() is not None:
                raise CallFailed("ssh: no connection to our own sshd; run with -v and see what it says above")
            time.sleep(0.02)

    def receive(self, *command: str, hashed: bool = False) -> dict[str, object]:
        """Run a command over the open connection and take all it writes, as `Arrivals` tells it."""
        arrivals = Arrivals(hashed=hashed)
        with _reading(self.reused(*command)) as pipe:
            while piece := os.read(pipe, PIECE):
                arrivals.add(piece)
            return dict(arrivals.result())


@contextmanager
def _reading(argv: Sequence[str]) -> Iterator[int]:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, F_SETPIPE_SZ, PIECE)
        yield process.stdout.fileno()
        if process.wait(20):
            raise CallFailed(f"{' '.join(argv)}: exit code {process.returncode}")
    finally:
        end(process)


def ssh_host(session: Session, stack: ExitStack) -> SshHost:
    """Start a server for this run, ended with *stack*; raises `Missing` where OpenSSH is not installed."""
    sshd, keygen = tool("sshd", "Debian: openssh-server"), tool("ssh-keygen", "Debian: openssh-client")
    place = session.directory("ssh")
    host = SshHost(place, free_port(), getpass.getuser())
    for name in ("host_key", "client_key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True, timeout=20)
    (place / "authorized_keys").write_bytes((place / "client_key.pub").read_bytes())
    (place / "known_hosts").write_text(f"[127.0.0.1]:{host.port} {(place / 'host_key.pub').read_text()}")
    template = SERVER if session.options.own_home else SERVER + EMPTY_HOME
    (place / "sshd_config").write_text(template.format(port=host.port, place=place))
    (place / "ssh_config").write_text(CLIENT.format(port=host.port, place=place, user=host.user))
    _privilege_separation(stack)
    _listen(session, stack, [sshd, "-D", "-e", "-f", str(place / "sshd_config")])
    return host


def _listen(session: Session, stack: ExitStack, argv: Sequence[str]) -> None:
    server = subprocess.Popen(argv, env=session.env, stderr=subprocess.PIPE)
    stack.callback(end, server)
    assert server.stderr is not None
    LineReader(server.stderr.fileno(), "sshd").until("Server listening", 20)
    # It logs a line per connection: let nobody wait for a full pipe.
    drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
    stack.callback(end, drain)


def _privilege_separation(stack: ExitStack) -> None:
    """Make the directory that a server started by root wants, and which only the system's service makes."""
    directory = Path("/run/sshd")
    if os.geteuid() == 0 and not directory.exists():
        directory.mkdir(mode=0o755)
        stack.callback(_remove, directory)


def _remove(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError as problem:
        raise CallFailed(f"{directory}: made for this run, cannot be removed: {problem.strerror}") from problem
