"""Three bare programs in a row, from a job to its reader: a keeper, a server, and whoever calls as the client."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from gproc_bench.drivers.tls import Carried, client_context
from gproc_bench.processes import LineReader, end
from gproc_bench.session import Session

__all__ = ["relayed"]


@contextmanager
def relayed(session: Session, command: Sequence[str]) -> Iterator[Carried]:
    """Yield a connection on which the output of *command* arrives; the job starts when all others stand."""
    pki = session.pki
    path = session.directory("relay") / "output"
    path.touch(mode=0o600)
    relay = [sys.executable, "-m", "gproc_bench.drivers.relay"]
    identity = [str(pki.ca), str(pki.server_cert), str(pki.server_key)]
    with ExitStack() as stack:
        stack.callback(path.unlink)  # what is still to be written to the disk of it would slow the next one down

        def start(argv: Sequence[str], stdin: int, stdout: int) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(argv, env=session.env, stdin=stdin, stdout=stdout)
            stack.callback(end, process, 2.0)
            return process

        said, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with said, heard:
            server = start([*relay, "server", str(path), *identity], heard.fileno(), subprocess.PIPE)
            keeper = start([*relay, "keeper", str(path)], subprocess.PIPE, said.fileno())
        assert server.stdout is not None
        assert keeper.stdin is not None
        port = int(LineReader(server.stdout.fileno(), "relay server").until("port", 20).split()[1])
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        context = client_context(str(pki.ca), str(pki.client_cert), str(pki.client_key))
        connection = Carried(plain, context, server_hostname="localhost")
        with keeper.stdin as pipe:
            start(command, subprocess.DEVNULL, pipe.fileno())
        yield connection
