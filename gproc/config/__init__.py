"""Settings, and where each of them came from.

Two files, both TOML. The client's file, ``$XDG_CONFIG_HOME/gproc/config.toml``, holds contexts: named sets of address,
authority, certificate and key. A setting is taken from a flag, else from the environment, else from the context, and
remembers which of them it was. The server's file, given as ``gproc serve --config FILE``, holds who runs as whom, how
much everybody may use, how long things are kept, and who may run what; it becomes one `ServerConfig`.

Whatever is wrong raises `ConfigError`, which names the file and the key. The server's half is imported when it is first
used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from gproc.config.client import (
    CONTEXT_FIELDS,
    Context,
    ContextFile,
    Setting,
    Settings,
    changing_contexts,
    context_file_path,
    load_contexts,
    resolve_settings,
    save_contexts,
)

if TYPE_CHECKING:
    from gproc.config.server import (
        OutputConfig,
        ServerConfig,
        load_server_config,
        parse_server_config,
    )

__all__ = [
    "CONTEXT_FIELDS",
    "Context",
    "ContextFile",
    "OutputConfig",
    "ServerConfig",
    "Setting",
    "Settings",
    "changing_contexts",
    "context_file_path",
    "load_contexts",
    "load_server_config",
    "parse_server_config",
    "resolve_settings",
    "save_contexts",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'gproc.config' has no attribute {name!r}")
    return getattr(import_module("gproc.config.server"), name)
