"""Files that are private from birth, whole or absent, and never written over by accident."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from gproc.errors import CertificateError

__all__ = ["PRIVATE", "PUBLIC", "add_file", "locked", "read_file", "replace_file", "written_beside"]

PRIVATE = 0o600
PUBLIC = 0o644

_PATIENCE = 10.0
_PAUSE = 0.02


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other tools out of *directory*; raise `CertificateError` if one stays in it for 10 s."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CertificateError(
            f"{directory}: {error.strerror}; `gproc certs init {directory}` makes an authority"
        ) from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def add_file(path: Path, content: bytes, mode: int) -> None:
    """Write a new file: *path* is there with all of *content* on disk, or not at all.

    Raises `FileExistsError` if it is there already, however it came to be, and `CertificateError` if it cannot be
    written.
    """
    with written_beside(path, content, mode) as temporary:
        # A link, unlike a rename, never takes the place of a file.
        os.link(temporary, path)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Write *path* anew: whoever reads it finds all of the old content or all of the new.

    Raises `CertificateError` if it cannot be written; the old file is then untouched.
    """
    with written_beside(path, content, mode) as temporary:
        temporary.replace(path)


def read_file(path: Path) -> bytes:
    """Return what is in *path*; raise `CertificateError` with the system's reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error


def _lock(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CertificateError(
                    f"{directory}: another gproc certs is at work here; try again when it is done"
                ) from None
            time.sleep(_PAUSE)
        else:
            return


@contextmanager
def written_beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Yield a finished temporary file beside *path*, on disk; the body gives it its name, or it is gone."""
    temporary = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        # The mode is given at creation: a key that is readable for a moment has been read.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123  # it is open already
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield temporary
        _fsync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise CertificateError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it has its name by now, or what kept it from being written keeps it from going
            temporary.unlink()


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
