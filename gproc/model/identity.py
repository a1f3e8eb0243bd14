"""Who a client is."""

from __future__ import annotations

import re

from gproc.errors import Unauthenticated

__all__ = ["Identity", "parse_identity"]

Identity = str
"""The common name of a client's certificate, compared byte by byte."""

_ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)


def parse_identity(name: str) -> Identity:
    """Return *name* if it may own jobs; raise `Unauthenticated` if not."""
    if _ACCEPTABLE.fullmatch(name) is None:
        raise Unauthenticated(
            f"common name {name!r}: not acceptable; it must be 1 to 64 letters, digits or any of . _ @ -, "
            "and begin with a letter or digit"
        )
    return name
