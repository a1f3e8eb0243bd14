from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproc.errors import StateError
from gproc.model.ids import make_job_id
from gproc.store.directory import StateDirectory, opened
from gproc.testing.faults import few_descriptors


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    state = StateDirectory(tmp_path / "deep" / "state")
    state.open()
    yield state
    state.close()


def test_a_directory_is_made_for_its_owner_alone(state: StateDirectory) -> None:
    assert [path.stat().st_mode & 0o777 for path in (state.path, state.jobs)] == [0o700, 0o700]


def test_e8_a_directory_that_is_in_use_is_refused_and_the_message_says_by_whom(state: StateDirectory) -> None:
    with pytest.raises(StateError, match=rf"in use by another server \(process {os.getpid()}\)"):
        StateDirectory(state.path).open()


def test_e9_of_a_lock_that_a_dead_server_left_nothing_stays_but_the_file(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4294967296\n")
    state = StateDirectory(tmp_path)
    state.open()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    state.close()


def test_a_directory_that_was_closed_can_be_opened_again(state: StateDirectory) -> None:
    state.close()
    state.close()
    again = StateDirectory(state.path)
    again.open()
    again.close()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_i6_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StateError, match="others can write to it; run `chmod 700"):
        StateDirectory(tmp_path).open()


def test_i6_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(StateError, match="links are not followed"):
        StateDirectory(tmp_path / "link").open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_i6_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StateError, match="belongs to another user"):
        StateDirectory(tmp_path).open()


def test_i6_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="choose another with --state-dir"):
        StateDirectory(tmp_path / "file").open()


def test_jobs_are_listed_from_the_oldest_on_and_files_are_none(state: StateDirectory) -> None:
    jobs = [make_job_id(milliseconds=now, chance=0) for now in (1, 2, 3, 4)]
    for job_id in (jobs[1], jobs[0], jobs[2]):
        state.job(job_id).mkdir()
    (state.jobs / "file").touch()
    (state.jobs / jobs[3]).symlink_to(jobs[0])
    (state.jobs / "lost+found").mkdir()
    assert state.job_ids() == jobs[:3]


def test_a_job_that_is_set_aside_twice_is_there_once(state: StateDirectory) -> None:
    def set_aside(content: str) -> Path:
        state.job("a").mkdir()
        (state.job("a") / "spec.json").write_text(content)
        return state.set_aside("a") / "spec.json"

    assert set_aside("old") == set_aside("new")
    assert state.job_ids() == []
    assert set_aside("newest").read_text() == "newest"


def test_d11_files_that_are_open_can_be_read_after_their_job_was_deleted(state: StateDirectory) -> None:
    state.job("a").mkdir()
    (state.job("a") / "output").write_text("all of it")
    with (state.job("a") / "output").open() as output:
        state.delete("a")
        assert output.read() == "all of it"
    assert state.job_ids() == []
    assert not list((state.path / "deleted").iterdir())
    state.delete("a")


def test_a_named_pipe_in_the_place_of_a_job_holds_up_nobody(state: StateDirectory) -> None:
    job_id = make_job_id(milliseconds=1, chance=1)
    os.mkfifo(state.job(job_id))
    state.delete(job_id)
    assert not state.job(job_id).exists()
    state.close()
    state.open()
    assert not (state.path / "deleted").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EXDEV])
def test_d7_a_job_for_which_there_is_no_other_place_is_deleted_in_its_own(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    cannot_be_moved(monkeypatch, number)
    (state.job("a") / "deeper").mkdir(parents=True)
    state.delete("a")
    assert not state.job("a").exists()


def test_a_job_that_may_not_be_moved_away_is_left_as_it_is(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot_be_moved(monkeypatch, errno.EACCES)
    (state.job("a") / "deeper").mkdir(parents=True)
    with pytest.raises(PermissionError):
        state.delete("a")
    assert (state.job("a") / "deeper").exists()


def cannot_be_moved(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("gproc.store.directory.Path.rename", fail)


def test_a3_a_job_is_deleted_without_a_descriptor_and_its_files_follow_later(state: StateDirectory) -> None:
    state.job("a").mkdir()
    (state.job("a") / "spec.json").write_text("{}")
    state.delete("never there")
    with few_descriptors():
        state.delete("a")
    assert not state.job("a").exists()
    assert (state.path / "deleted" / "a").exists()
    state.close()
    state.open()
    assert sorted(path.name for path in state.path.iterdir()) == ["jobs", "lock"]


def test_opening_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError), opened(tmp_path / "link"):
        pass
