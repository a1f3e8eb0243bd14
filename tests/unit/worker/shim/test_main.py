from __future__ import annotations

import os
import resource
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gproc_support.processes import open_descriptors

from gproc.model import JobRequest
from gproc.model.document import spec_to_document
from gproc.model.spec import JobSpec
from gproc.store.directory import opened
from gproc.store.records import create_record
from gproc.worker.shim.main import Shim
from gproc.worker.tree import children


def test_a_shim_that_cannot_listen_to_its_server_executes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = JobSpec(id="j", owner="me", request=JobRequest(command="true"), created_at=datetime.now(UTC), nonce="n")
    with opened(tmp_path) as dir_fd:
        create_record("spec.json", spec_to_document(spec), dir_fd=dir_fd)
    before = set(children(os.getpid()))
    closed = socket.socket(socket.AF_UNIX)
    closed.close()
    with Shim(closed, is_rehearsal=True) as shim, pytest.raises(OSError, match="Bad file descriptor"):
        shim.run()
    shim._links.say_goodbye()
    assert set(children(os.getpid())) == before


def test_a_rehearsal_for_which_there_is_no_room_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, limits = open_descriptors(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Shim.rehearse()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert open_descriptors() == before
