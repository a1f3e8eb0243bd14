"""From a job's files to those who follow it: replay and live are the same loop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from gproc.errors import GprocError, InternalError, JobNotFound, OffsetOutOfRange, Unavailable
from gproc.model import Chunk, End, Gap, OutputEvent, OutputRange
from gproc.store.directory import opened
from gproc.store.reader import CHUNK_BYTES, OutputCursor, WouldBlockError
from gproc.store.writer import Extent
from gproc.worker.registry import Entry
from gproc.worker.tasks import Tasks

__all__ = ["Room", "follow"]

Room = Callable[[], Awaitable[int]]
"""Waits until more output can be taken; returns how many bytes."""

_CHUNKS_WITHOUT_A_BREAK = 16
_NEW = timedelta(seconds=10)


async def follow(
    entry: Entry, directory: Path, wanted: OutputRange, tasks: Tasks, room: Room | None = None
) -> AsyncGenerator[OutputEvent, None]:
    """Yield what is *wanted* of a job's output, and at last exactly one `End`. See `Supervisor.output_events`."""
    with await _opened_cursor(entry, directory, wanted, tasks) as cursor:
        if wanted.follow and (wanted.tail_bytes is not None or wanted.tail_lines is not None):
            # Whoever loses the line before anything came would else ask again, and be given a later tail.
            yield Gap(cursor.offset, 0)
        snapshot = None if wanted.follow else entry.extent
        unbroken = 0
        while True:
            status, extent = entry.status, snapshot or entry.extent
            at_most = CHUNK_BYTES
            if room is not None and cursor.offset < extent.end:
                # Only now: a thousand readers who had room before they waited would all hold a chunk at once.
                at_most = await room()
            event = await _read(entry, cursor, extent, tasks, at_most)
            if event is not None:
                yield event
                event = None  # a reader who waits for the next one does not keep this one
                unbroken += 1
                if unbroken % _CHUNKS_WITHOUT_A_BREAK == 0:
                    await asyncio.sleep(0)
            elif status.is_final or snapshot is not None:
                yield End(entry.current())
                return
            elif entry.status is status and entry.extent is extent:
                # Only then: what changed while this reader waited for room, or for the disk, is not told again.
                await entry.changes.wait()


async def _opened_cursor(entry: Entry, directory: Path, wanted: OutputRange, tasks: Tasks) -> OutputCursor:
    created_at = entry.status.created_at
    is_new = created_at is not None and datetime.now(UTC) - created_at < _NEW
    if is_new and wanted.tail_lines is None and wanted.since is None:
        # The files of a new job are in memory, and a thread takes longer to wake than they take to open.
        return _cursor_at(entry, directory, wanted)
    if wanted.tail_lines is None:
        return await tasks.thread(_cursor_at, entry, directory, wanted)
    cursor = await tasks.thread(_open_cursor, entry, directory, wanted)
    try:
        await tasks.search(_seek, entry, cursor, wanted)
    except BaseException:
        cursor.abandon()  # it may still be read from, so it is not closed
        raise
    return cursor


async def _read(entry: Entry, cursor: OutputCursor, extent: Extent, tasks: Tasks, at_most: int) -> Chunk | Gap | None:
    try:
        try:
            return cursor.read(extent, may_block=False, at_most=at_most)
        except WouldBlockError:
            return await tasks.thread(partial(cursor.read, extent, at_most=at_most))
    except OSError as error:
        raise _read_error(entry, error) from error


def _cursor_at(entry: Entry, directory: Path, wanted: OutputRange) -> OutputCursor:
    cursor = _open_cursor(entry, directory, wanted)
    try:
        _seek(entry, cursor, wanted)
    except BaseException:
        cursor.close()
        raise
    return cursor


def _open_cursor(entry: Entry, directory: Path, wanted: OutputRange) -> OutputCursor:
    try:
        with opened(directory) as dir_fd:
            cursor = OutputCursor(dir_fd=dir_fd, streams=wanted.streams)
    except OSError as error:
        raise _open_error(entry, error) from error
    if entry.status.is_final and wanted.offset > entry.extent.end:
        cursor.close()
        raise OffsetOutOfRange(
            f"offset {wanted.offset}: job {entry.id} is finished and wrote {entry.extent.end} bytes of output"
        )
    return cursor


def _seek(entry: Entry, cursor: OutputCursor, wanted: OutputRange) -> None:
    try:
        cursor.seek(wanted, entry.extent)
    except OSError as error:
        raise _read_error(entry, error) from error


def _read_error(entry: Entry, error: OSError) -> GprocError:
    return InternalError(f"job {entry.id}: its output cannot be read: {error.strerror}")


def _open_error(entry: Entry, error: OSError) -> GprocError:
    if isinstance(error, FileNotFoundError):
        return JobNotFound(entry.id)
    problem = f"job {entry.id}: its output cannot be opened: {error.strerror}"
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        # It passes by itself, so readers that resume are to come back.
        return Unavailable(f"{problem}; try again")
    return InternalError(problem)
