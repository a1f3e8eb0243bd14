"""``gproc certs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gproc.cli.command import DIRECTORY_PATH, JSON_OPTION, Group
from gproc.cli.console import is_terminal, make_console, note, utc_now

if TYPE_CHECKING:
    from gproc.certs import IssuedCertificate

__all__ = ["command"]

_DIRECTORY = click.argument("directory", metavar="DIR", type=DIRECTORY_PATH)
_RENEW = click.option("--renew", is_flag=True, help="Replace the one that was issued before.")


@click.group("certs", cls=Group)
def command() -> None:
    """Make, list and revoke certificates.

    One directory is one authority. Keys are readable by you alone; a name is issued once.
    """


@command.command("init")
@_DIRECTORY
@click.option("--renew", is_flag=True, help="Renew the authority's certificate; what it issued stays good.")
def init(directory: Path, renew: bool) -> int:
    """Make an authority in DIR: ca.crt, ca.key, crl.pem."""
    from gproc.certs import Authority

    Authority.create(directory, renew=renew)
    for name in ("ca.crt", "ca.key", "crl.pem"):
        click.echo(directory / name)
    note(f"next: gproc certs server {directory} --host HOSTNAME, and gproc certs client {directory} NAME")
    return 0


@command.command("server")
@_DIRECTORY
@click.option("--host", "hosts", multiple=True, required=True, metavar="NAME...", help="Name or address of the server.")
@click.argument("more_hosts", metavar="", nargs=-1)
@_RENEW
def server(directory: Path, hosts: tuple[str, ...], more_hosts: tuple[str, ...], renew: bool) -> int:
    """Issue the server's certificate: server.crt, server.key."""
    from gproc.certs import Authority
    from gproc.model.address import Address

    _print_files(Authority.open(directory).issue_server([*hosts, *more_hosts], renew=renew))
    if not renew:
        files = f"--cacert {directory / 'ca.crt'} --cert {directory / 'server.crt'} --key {directory / 'server.key'}"
        serve = f"serve --state-dir STATE --crl {directory / 'crl.pem'}"
        note(f"next: gproc --addr {Address(hosts[0].strip('[]'), 3000)} {files} {serve}")
    return 0


@command.command("client")
@_DIRECTORY
@click.argument("name")
@_RENEW
def client(directory: Path, name: str, renew: bool) -> int:
    """Issue a client's certificate: NAME.crt, NAME.key.

    NAME is who the client is: the owner of the jobs it starts.
    """
    from gproc.certs import Authority

    _print_files(Authority.open(directory).issue_client(name, renew=renew))
    if not renew:
        files = f"--cacert {directory / 'ca.crt'} --cert {directory / name}.crt --key {directory / name}.key"
        note(f"next: gproc context add NAME --addr HOST:PORT {files}")
    return 0


@command.command("revoke")
@_DIRECTORY
@click.argument("name")
def revoke(directory: Path, name: str) -> int:
    """Revoke every certificate ever issued to NAME; writes crl.pem."""
    from gproc.certs import Authority

    revoked = Authority.open(directory).revoke(name)
    click.echo(directory / "crl.pem")
    count = "1 certificate" if len(revoked) == 1 else f"{len(revoked)} certificates"
    note(f"{name}: {count} revoked; servers started with --crl refuse it once they get SIGHUP")
    return 0


@command.command("list")
@_DIRECTORY
@JSON_OPTION
def list_issued(directory: Path, as_json: bool) -> int:
    """List what was issued, and when it expires."""
    from gproc.certs import Authority
    from gproc.cli.render import certs as render
    from gproc.cli.render.jobs import json_text

    issued, now = Authority.open(directory).list(), utc_now()
    if as_json:
        sys.stdout.write(json_text([render.certificate_document(certificate) for certificate in issued]))
    elif is_terminal(sys.stdout):
        console = make_console()
        console.print(render.certificate_table(issued, now=now, width=console.width))
    else:
        sys.stdout.write(render.plain_certificates(issued, now=now))
    return 0


def _print_files(certificate: IssuedCertificate) -> None:
    click.echo(certificate.cert)
    click.echo(certificate.key)
