"""``gproc serve``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
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
    with suppress(OSError):  # on a disk that is full, say; it serves all the same
        sys.stderr.write(f"listening on {addr}\n")
        sys.stderr.flush()


def _serve_options(settings: Settings, options: Mapping[str, Any]) -> ServeOptions:
    """Return what the server is told; reads the configuration file, and raises `ConfigError` about it."""
    from gproc.config import ServerConfig, load_server_config
    from gproc.server import ServeOptions

    config = ServerConfig() if options["config"] is None else load_server_config(options["config"])
    return ServeOptions(
        addr=settings.require("addr"),
        cacert=Path(settings.require("cacert")),
        cert=Path(settings.require("cert")),
        key=Path(settings.require("key")),
        state_dir=options["state_dir"],
        crl=options["crl"],
        run_as=options["run_as"],
        drain=options["drain"],
        json_logs=options["json_logs"],
        users=config.users,
        source=config.source,
        rules=config.policy,
        quotas=config.quotas,
        settings=_settings(config),
    )


def _settings(config: ServerConfig) -> SupervisorSettings:
    """Return the bounds that the file tells; what it does not tell is as the server does by itself."""
    from dataclasses import replace

    from gproc.worker.settings import SupervisorSettings

    settings = SupervisorSettings(
        output_bytes=config.output.max_bytes,
        output_policy=config.output.policy,
        owner_output_bytes=config.owner_output_bytes,
        cgroup=config.cgroup,
        retention=config.retention,
    )
    return settings if config.disk_reserve is None else replace(settings, reserve_bytes=config.disk_reserve)
