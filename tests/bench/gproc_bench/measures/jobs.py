"""Jobs: how many short ones a second, one client, 32 at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec

from gproc_bench.contest import Contender, Sampler, Turn, contest
from gproc_bench.measures._streams import connected
from gproc_bench.peers.ssh import ssh_host
from gproc_bench.processes import Driver
from gproc_bench.registry import measure
from gproc_bench.rows import Question, Row, compared
from gproc_bench.session import Loop, Missing, Session
from gproc_bench.stats import at_least
from gproc_bench.subject import gproc_name, gproc_names
from gproc_bench.units import Unit

__all__ = ["ASYNCSSH", "asked"]

IN_FLIGHT = 32


@measure("jobs", f"`true` jobs started and finished, {IN_FLIGHT} at a time on one connection")
def jobs(session: Session) -> Iterator[Row]:
    """Compare with asyncssh and an OpenSSH server."""
    sizes = session.choose(full=(64, 256, 512), quick=(64, 128))
    field = [*map(_gproc, session.options.loops), ASYNCSSH]
    standings = contest(session, field, sizes, session.rounds(full=5, quick=3))
    question = Question(measure="jobs", unit=Unit.RATE, say_size="{:,.0f} jobs".format, deciding_size=sizes[-1])
    yield from compared(question, standings, gproc_names(session), {"asyncssh": at_least(3)})


def _gproc(loop: Loop) -> Contender:
    return Contender(gproc_name(loop), lambda session, stack: asked(connected(session, stack, loop)))


def _asyncssh(session: Session, stack: ExitStack) -> Sampler:
    if find_spec("asyncssh") is None:
        raise Missing("asyncssh is not installed (dependency group `bench`)")
    host = ssh_host(session, stack)
    arguments = (str(host.port), host.user, str(host.place / "known_hosts"), str(host.place / "client_key"))
    return asked(session.driver(stack, "asyncssh_client", *arguments))


def asked(client: Driver) -> Sampler:
    """Have a driver do `jobs`."""

    def sample(turn: Turn) -> Sequence[float]:
        return [float(client.ask("jobs", count=turn.size, in_flight=IN_FLIGHT)["seconds"])]

    return sample


ASYNCSSH = Contender("asyncssh", _asyncssh)
