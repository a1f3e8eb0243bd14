"""What can be wrong between a client and a server, checked in the order in which it would fail."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gproc.errors import CertificateRefused, ConfigError, GprocError, Unauthenticated, split_advice

if TYPE_CHECKING:
    from gproc.config import Settings
    from gproc.model.address import Address

__all__ = ["MARKS", "Check", "Verdict", "run_checks"]

_PATIENCE = 5.0
_SOON = timedelta(days=14)
_SKEW = timedelta(seconds=5)


class Verdict(Enum):
    """How a check came out."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: what was looked at, how it is, and what to do now if it is not good."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """Return the check as it is in JSON."""
        document = {"check": self.name, "verdict": self.verdict.value, "detail": self.detail, "advice": self.advice}
        return {key: value for key, value in document.items() if value}


def run_checks(ctx: click.Context) -> Iterator[Check]:
    """Yield one check after another; ends at the first that makes the others pointless."""
    from gproc.cli.session import settings_of

    try:
        settings = settings_of(ctx)
    except GprocError as error:
        yield _bad("settings", str(error), "correct the file, or name another context with --context")
        return
    for checks in (_settings, _files, _certificates):
        found = list(checks(settings))
        yield from found
        if _any_bad(found):
            return
    yield from _network(settings)


def _settings(settings: Settings) -> Iterator[Check]:
    for name in ("addr", "cacert", "cert", "key"):
        setting = settings.get(name)
        if setting is None:
            problem, advice = split_advice(settings.lack_of(name))
            yield _bad(name, problem, advice)
        else:
            yield _good(name, f"{setting.value} (from {setting.source})")


def _files(settings: Settings) -> Iterator[Check]:
    for name in ("cacert", "cert", "key"):
        path = Path(settings.require(name))
        try:
            path.read_bytes()
        except OSError as error:
            yield _bad(f"{name} file", f"{path}: {error.strerror}", f"give another file with --{name}")


def _certificates(settings: Settings) -> Iterator[Check]:
    from gproc.certs import diagnose, inspect

    cacert, cert, key = (settings.require(name) for name in ("cacert", "cert", "key"))
    problems = diagnose(cacert=cacert, cert=cert, key=key)
    for problem in problems:
        what, advice = split_advice(problem)
        yield _bad("certificate", what, advice or "issue a new one: gproc certs client DIR NAME")
    if problems:
        return
    certificate = inspect(cert)
    left = certificate.not_after - datetime.now(UTC)
    until = f"{certificate.not_after:%Y-%m-%d}"
    detail = f"you are {certificate.name!r}; signed by {certificate.issuer!r}, good until {until}"
    if left < _SOON:
        yield Check(
            name="certificate",
            verdict=Verdict.WARNING,
            detail=f"{detail}: {left.days} days",
            advice="renew it: gproc certs client DIR NAME --renew",
        )
    else:
        yield _good("certificate", detail)


def _network(settings: Settings) -> Iterator[Check]:
    from gproc.model.address import parse_address

    try:
        host, port = address = parse_address(settings.require("addr"))
    except ConfigError as error:
        problem, advice = split_advice(str(error))
        yield _bad("address", problem, advice)
        return
    try:
        # In a thread that nobody waits for: Ctrl-C does not interrupt a look-up.
        found = ThreadPoolExecutor(1).submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM).result()
    except (OSError, UnicodeError) as error:  # UnicodeError: a part between dots is empty, or longer than names are
        reason = error.strerror if isinstance(error, OSError) else "no host can have this name"
        yield _bad("name", f"{host}: {reason}", "is the name right? does this network's DNS know it?")
        return
    yield _good("name", f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}")
    try:
        connection = _connect(address)
    except OSError as error:
        yield _bad("connection", f"{address}: {error.strerror or error}", _refused_advice(error))
        return
    with connection:
        yield _good("connection", f"{address} answers")
        handshake = _handshake(connection, host, settings)
    yield handshake
    if handshake.verdict is not Verdict.BAD:
        yield from _request(settings)


def _connect(address: Address) -> socket.socket:
    """Return a connection to the first of the host's addresses that answers; raises `OSError` if none does.

    That nobody listens at one of them says more than that another cannot be reached, as ::1 where there is no IPv6.
    """
    try:
        return socket.create_connection(address, timeout=_PATIENCE, all_errors=True)
    except ExceptionGroup as group:
        errors = [error for error in group.exceptions if isinstance(error, OSError)]
        raise next((error for error in errors if isinstance(error, ConnectionRefusedError)), errors[-1]) from None


def _refused_advice(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is the server running, is the port right?"
    return "is a firewall in between? is the server running?"


def _handshake(connection: socket.socket, host: str, settings: Settings) -> Check:
    """Return whether the server is who it should be; whether it accepts us shows only when something is asked."""
    from gproc.client.tls import client_context

    cacert, cert, key = (settings.require(name) for name in ("cacert", "cert", "key"))
    try:
        context = client_context(cacert=cacert, cert=cert, key=key)
        with context.wrap_socket(connection, server_hostname=host) as secure:
            return _good("TLS", f"{secure.version()}, and the server is the {host!r} it should be")
    except ssl.SSLCertVerificationError as error:
        return _bad("TLS", f"the server's certificate: {error.verify_message}", _server_advice(error, host))
    except ConfigError as error:
        return _bad("TLS", str(error), "give another file")
    except OSError as error:
        return _bad("TLS", f"no handshake: {_no_handshake(error)}", "is it a gproc server that listens there?")


def _no_handshake(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "what answers does not speak TLS 1.3"
    if isinstance(error, TimeoutError):
        return f"what listens there says nothing for {_PATIENCE:g} s"
    return error.strerror or str(error)


def _server_advice(error: ssl.SSLCertVerificationError, host: str) -> str:
    if "match" in error.verify_message:  # of host name or IP address
        return f"connect to a name in the certificate, or issue one: gproc certs server DIR --host {host} --renew"
    if "expired" in error.verify_message or "not yet" in error.verify_message:
        return "is this computer's clock right? else: gproc certs server DIR --host NAME --renew"
    return "is --cacert the authority that issued the server's certificate?"


def _request(settings: Settings) -> Iterator[Check]:
    try:
        newest = asyncio.run(_newest_job(settings))
    except GprocError as error:
        name = "identity" if isinstance(error, CertificateRefused | Unauthenticated) else "request"
        problem, advice = split_advice(str(error))
        if isinstance(error, CertificateRefused):
            advice = _refusal_advice(problem)
        yield _bad(name, problem, advice or "the server's log, on its standard error, says more")
        return
    yield _good("request", "the server accepts you, and answers")
    if newest is not None and newest - datetime.now(UTC) > _SKEW:
        behind = (newest - datetime.now(UTC)).total_seconds()
        yield Check(
            name="clock",
            verdict=Verdict.WARNING,
            detail=f"the server's clock is at least {behind:.0f} s ahead of this one",
            advice="set both by NTP: certificates and times depend on it",
        )


def _refusal_advice(problem: str) -> str:
    """Return what to do about a refusal, whose cause a server may tell or keep to itself."""
    if "revoked" in problem:
        return "ask who runs the server for a new certificate"
    or_revoked = "" if "authority" in problem else ", or the certificate was revoked"
    return f"the server trusts another authority (its --cacert){or_revoked}: ask who runs it"


async def _newest_job(settings: Settings) -> datetime | None:
    from gproc.cli.session import make_client
    from gproc.model import ListQuery

    async with make_client(settings, timeout=_PATIENCE) as client:
        await client.connect()
        jobs = (await client.page(ListQuery(page_size=1))).jobs
        return jobs[0].created_at if jobs else None


def _good(name: str, detail: str) -> Check:
    return Check(name=name, verdict=Verdict.GOOD, detail=detail)


def _bad(name: str, detail: str, advice: str) -> Check:
    return Check(name=name, verdict=Verdict.BAD, detail=detail, advice=advice)


def _any_bad(checks: list[Check]) -> bool:
    return any(check.verdict is Verdict.BAD for check in checks)


MARKS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.GOOD: ("✓", "32"),
    Verdict.WARNING: ("!", "33"),
    Verdict.BAD: ("✗", "31"),
}
