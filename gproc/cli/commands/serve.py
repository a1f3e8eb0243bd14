"""``gproc serve``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import DURATION, Command
from gproc.cli.session import settings_of

if TYPE_CHECKING:
    from gproc.config import ServerConfig, Settings
    from gproc.server import ServeOptions

__all__ = ["command"]


@click.command("serve", cls=Command)
@click.option("--state-dir", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where jobs are kept.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Users, quotas, retention, policy.")
@click.option("--crl", metavar="FILE", type=click.Path(path_type=Path), help="Certificates that were revoked.")
@click.option("--run-as", metavar="USER", help="Run all jobs as this Unix user.")
@click.option("--drain", type=DURATION, default="5s", help="When told to end, let requests run this long (5s).")
@click.option("--json-logs", is_flag=True, help="Log one JSON document a line.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Run the server.

    --addr localhost:0 takes a free port; "listening on HOST:PORT" on standard error says when it is ready. SIGTERM
    ends it, and running jobs go on; SIGHUP makes it read its certificates and its configuration again.
    """
    from gproc.server import serve

    settings = settings_of(ctx)

    def load() -> ServeOptions:
        return _serve_options(settings, options)

    asyncio.run(serve(load(), ready=_announce, reload=load))
    return 0


def _announce(addr: str) -> None:
    sys.stderr.write(f"listening on {addr}\n")
    sys.stderr.flush()


def _serve_options(settings: Settings, options: Mapping[str, Any]) -> ServeOptions:
    """Return what the server is told; reads the configuration file, and raises `ConfigError` about it."""
    from gproc.config import ServerConfig, load_server_config
    from gproc.server import ServeOptions

    config = ServerConfig() if options["config"] is None else load_server_config(options["config"])
    drain: timedelta = options["drain"]
    return ServeOptions(
        addr=settings.require("addr"),
        cacert=Path(settings.require("cacert")),
        cert=Path(settings.require("cert")),
        key=Path(settings.require("key")),
        state_dir=options["state_dir"],
        crl=options["crl"],
        run_as=options["run_as"],
        drain=drain,
        json_logs=options["json_logs"],
        **_from_file(config),
    )


def _from_file(config: ServerConfig) -> dict[str, Any]:
    from gproc.errors import ConfigError
    from gproc.server import ServeOptions
    from gproc.server.policy import Quotas, Rule

    told = {field.name: getattr(config.quotas, field.name) for field in fields(config.quotas)}
    wanted = {
        "users": config.users,
        "rules": tuple(Rule(owner=rule.owner, allow=rule.allow, deny=rule.deny) for rule in config.policy),
        "quotas": Quotas(**{name: value for name, value in told.items() if value is not None}),
    }
    known = {field.name for field in fields(ServeOptions)}
    for key, name, value in _caps(config):
        if value is None:
            continue
        if name not in known:
            # Better not to start than to let somebody believe that their disk is protected.
            raise ConfigError(f"{config.source}: {key}: this server cannot do that yet; take it out of the file")
        wanted[name] = value
    return wanted


def _caps(config: ServerConfig) -> list[tuple[str, str, Any]]:
    """Return key in the file, field of the server's options, and value or None, of everything about the disk."""
    from gproc.model import OutputPolicy

    return [
        ("output.max_bytes", "output_bytes", config.output.max_bytes),
        ("output.policy", "output_policy", OutputPolicy.STOP if config.output.policy == "stop" else None),
        ("retention.age", "retention_age", config.retention.age),
        ("retention.count", "retention_count", config.retention.count),
        ("retention.bytes", "retention_bytes", config.retention.bytes),
        ("disk.reserve", "disk_reserve", config.disk_reserve or None),
    ]
