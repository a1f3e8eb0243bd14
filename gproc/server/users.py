"""As which Unix user an owner's jobs run."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from gproc.errors import ConfigError, PermissionDenied
from gproc.model import Identity
from gproc.model.spec import RunAs

__all__ = ["Users", "resolve_user", "resolve_users"]


@dataclass(frozen=True, slots=True)
class Users:
    """The Unix user of every owner."""

    by_owner: Mapping[Identity, RunAs | None]
    default: RunAs | None
    may_default: bool
    """Whether owners that are not in the map get the default (None: the server's own user)."""

    def of(self, owner: Identity) -> RunAs | None:
        """Return the user for *owner*, None for the server's own; raise `PermissionDenied` if there is none."""
        if owner in self.by_owner:
            return self.by_owner[owner]
        if self.may_default:
            return self.default
        raise PermissionDenied(f"owner {owner}: no Unix user is given for it in the server's map of users")

    def risk(self) -> str:
        """Return what owners who share a Unix user can do to each other, in a sentence; empty if none do."""
        if not self.may_default:
            return ""
        if self.default is None:
            return "jobs run as the server's own user and can read its key and each other's output; see SECURITY.md"
        return f"jobs of owners without a user of their own run as {self.default.user} and can signal each other"


def resolve_users(
    run_as: str | None, users: Mapping[Identity, str], *, euid: int, source: str = "configuration"
) -> Users:
    """Return who runs whose jobs, for a server that is *euid*. *source* is the file that *users* were read from.

    Raises `ConfigError` if a user does not exist, if root does not say who runs the jobs, or if one who is not root
    wants to run them as somebody else.
    """
    if euid == 0 and run_as is None and not users:
        raise ConfigError(
            "started as root without saying who runs the jobs: give --run-as USER (--run-as root if that is meant), "
            "or a map of users in the configuration"
        )
    by_owner = {owner: _user_for(name, euid, f"{source}: users.{owner}") for owner, name in users.items()}
    default = None if run_as is None else _user_for(run_as, euid, "--run-as")
    return Users(by_owner, default, may_default=run_as is not None or euid != 0)


def _user_for(name: str, euid: int, where: str) -> RunAs | None:
    try:
        user = resolve_user(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    if user.uid == euid:
        return None
    if euid != 0:
        who = "root" if user.uid == 0 else f"root or as {name}"
        raise ConfigError(f"{where}: user {name}: only root can run jobs as somebody else; start the server as {who}")
    return user


def resolve_user(name: str) -> RunAs:
    """Return the Unix user called *name* with all its groups, or raise `ConfigError`."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"user {name}: there is no such user on this machine; see `getent passwd`") from None
    groups = tuple(sorted(os.getgrouplist(name, entry.pw_gid)))
    return RunAs(user=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=groups, home=entry.pw_dir)
