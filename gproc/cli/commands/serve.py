"""``gproc serve``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gproc.cli.command import DIRECTORY_PATH, DURATION, FILE_PATH, Command
from gproc.cli.session import settings_of

if TYPE_CHECKING:
    from gproc.config import ServerConfig, Settings
    from gproc.server import ServeOptions
    from gproc.worker.settings import SupervisorSettings

__all__ = ["command"]


@click.command("serve", cls=Command)
@click.option("--state-dir", required=True, metavar="DIR", type=DIRECTORY_PATH, help="Where jobs are kept.")
@click.option("--config", metavar="FILE", type=FILE_PATH, help="Users, quotas, retention, policy.")
@click.option("--crl", metavar="FILE", type=FILE_PATH, help="Certificates that were revoked.")
@click.option("--run-as", metavar="USER", help="Run all jobs as this Unix user.")
@click.option("--drain", type=DURATION, default="5s", help="When told to end, let requests run this long (5s).")
@click.option("--json-logs", is_flag=True, help="Log one JSON document a line.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Run the server.

    --addr localhost:0 takes a free port; "listening on HOST:PORT" on standard error says when it is ready. SIGTERM
    ends it, and running jobs go on; SIGHUP makes it read its certificates and its configuration again.
    """
    from gproc.cli.entry import settle_heap
    from gproc.server import run, serve

    settle_heap()
    settings = settings_of(ctx)

    def load() -> ServeOptions:
        return _serve_options(settings, options)

    run(serve(load(), ready=_announce, reload=load))
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
    """Return the options that the configuration file decides; what it does not tell is as the server does by itself."""
    from dataclasses import replace

    from gproc.server.policy import Quotas, Rule

    quotas = {
        "running_jobs": config.quotas.running_jobs,
        "connections": config.quotas.connections,
        "followers": config.quotas.followers,
        "starts_per_second": config.quotas.starts_per_second,
    }
    return {
        "users": config.users,
        "rules": tuple(Rule(owner=rule.owner, allow=rule.allow, deny=rule.deny) for rule in config.policy),
        "quotas": replace(Quotas(), **_told(quotas)),
        "settings": _settings(config),
    }


def _settings(config: ServerConfig) -> SupervisorSettings:
    from dataclasses import replace

    from gproc.model import OutputPolicy
    from gproc.worker.settings import SupervisorSettings

    bounds = {
        "reserve_bytes": config.disk_reserve,
        "output_bytes": config.output.max_bytes,
        "output_policy": OutputPolicy(config.output.policy),
        "owner_output_bytes": config.quotas.output_bytes,
        "retention": config.retention,
    }
    return replace(SupervisorSettings(), **_told(bounds))


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
