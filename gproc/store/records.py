"""Small records on disk: valid JSON, checked by a sum, replaced in one step.

A record is one line, ``{"gproc":1,"crc32":"0a1b2c3d","record":{…}}``. The sum covers the bytes of ``record`` as they
stand, so a torn or flipped file is told from a good one, and anyone can still read it with `cat` or `jq`.

A file may hold several, each a later version of the one before it: then the last whole line counts.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any
from zlib import crc32

from gproc.errors import StateError

__all__ = [
    "GrowingRecord",
    "NewerRecordError",
    "TornRecordError",
    "create_record",
    "decode",
    "encode",
    "read_record",
    "write_record",
]

VERSION = 1
_HEAD = re.compile(rb'\{"gproc":(\d{1,9}),"crc32":"([0-9a-f]{8})","record":')
_MAX_BYTES = 16 * 1024 * 1024
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class TornRecordError(StateError):
    """The record is not what was written: cut off, flipped, or never one of ours."""


class NewerRecordError(StateError):
    """The record was written by a newer version of Gproc."""


def encode(document: dict[str, Any]) -> bytes:
    """Return the bytes of a record that holds *document*."""
    body = _to_json(document).encode("utf-8", "surrogatepass")
    return b'{"gproc":%d,"crc32":"%08x","record":%s}\n' % (VERSION, crc32(body), body)


def decode(data: bytes) -> dict[str, Any]:
    """Return the document in *data*; raise `TornRecordError` or `NewerRecordError`."""
    head = _HEAD.match(data)
    if head is None or int(head[1]) == 0:
        raise TornRecordError("not a record of Gproc")
    if int(head[1]) > VERSION:
        raise NewerRecordError(f"written by a newer version of Gproc (record version {int(head[1])})")
    body = data[head.end() : -2]
    if not data.endswith(b"}\n") or crc32(body) != int(head[2], 16):
        raise TornRecordError("damaged: its sum does not match")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TornRecordError("damaged: not JSON, or too deep") from error
    if not isinstance(document, dict):
        raise TornRecordError("damaged: not an object")
    return document


def read_record(name: str, *, dir_fd: int) -> dict[str, Any]:
    """Return the document in the file *name*; links are not followed.

    Raises `FileNotFoundError` if there is none, `TornRecordError` or `NewerRecordError` if it cannot be used.
    """
    # Not waiting for whoever would write to it, should it be a named pipe.
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        return decode(_last_line(os.read(fd, min(os.fstat(fd).st_size, _MAX_BYTES))))
    finally:
        os.close(fd)


def _last_line(data: bytes) -> bytes:
    """Return the last line that is whole, or *data* if there is none: a line that was begun does not count yet."""
    end = data.rfind(b"\n") + 1
    return data[data.rfind(b"\n", 0, end - 1) + 1 : end] if end else data


def create_record(name: str, document: dict[str, Any], *, dir_fd: int) -> None:
    """Make the file *name* a record of *document*, in one step; there must be none yet.

    When it returns, the record outlives a crash of the machine. A crash before that may leave a torn one. Content and
    name go to the disk together, which takes half the time of `write_record`.
    """
    fd = _write_beside(name, document, dir_fd)
    try:
        os.rename(f"{name}.new", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.fsync(dir_fd)


def write_record(name: str, document: dict[str, Any], *, dir_fd: int, durable: bool = True) -> None:
    """Replace the file *name* by a record of *document*, in one step.

    When it returns and *durable* is set, the record outlives a crash of the machine. If it raises `OSError`, the
    file is as it was.
    """
    fd = _write_beside(name, document, dir_fd)
    try:
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(f"{name}.new", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    if durable:
        os.fsync(dir_fd)


class GrowingRecord:
    """A record whose later versions go behind the earlier ones, in the same file.

    So a second version makes no file and deletes none: a file system on which many files are deleted takes ten times as
    long to make one. And there is one thing to bring to the disk, not two. What was written before is never touched
    again. Owns its file, so `close` it.
    """

    def __init__(self, name: str, *, dir_fd: int) -> None:
        self._name = name
        self._dir_fd = dir_fd
        self._fd = -1
        self._size = 0

    def write(self, document: dict[str, Any], *, durable: bool) -> None:
        """Make *document* the latest version; the first one makes, or replaces, the file in one step.

        When it returns and *durable* is set, it outlives a crash of the machine. If it raises `OSError`, the version
        before it counts, or after a disk that failed either of the two; try again.
        """
        data = encode(document)
        if self._is_as_left():
            _write_all(self._fd, data, self._size)
        else:
            self._begin(document)
        if durable:
            os.fsync(self._fd)
            os.fsync(self._dir_fd)
        self._size += len(data)

    def _is_as_left(self) -> bool:
        """Whether the file is there, and what was written to it: it may have been replaced, or an attempt failed."""
        if self._fd < 0:
            return False
        about = os.fstat(self._fd)
        return about.st_nlink > 0 and about.st_size == self._size

    def _begin(self, document: dict[str, Any]) -> None:
        fd = _write_beside(self._name, document, self._dir_fd)
        try:
            os.replace(f"{self._name}.new", self._name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        except BaseException:
            os.close(fd)
            raise
        self.close()
        self._fd, self._size = fd, 0

    def close(self) -> None:
        """Close the file; doing it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_beside(name: str, document: dict[str, Any], dir_fd: int) -> int:
    """Write a record of *document* to *name* with ``.new`` after it; return the descriptor of that file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(f"{name}.new", flags, 0o600, dir_fd=dir_fd)
    except FileExistsError:
        # Somebody died over it, or it is a named pipe, which would be waited for.
        os.unlink(f"{name}.new", dir_fd=dir_fd)
        fd = os.open(f"{name}.new", flags, 0o600, dir_fd=dir_fd)
    try:
        _write_all(fd, encode(document), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _write_all(fd: int, data: bytes, position: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], position + written)
