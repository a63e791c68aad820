"""Locks are seen from any shell, whatever its TMPDIR, and the machine's by every user."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from bench.directories import sessions_folder, work_root, work_roots
from bench.locks import (
    living_sessions,
    machine_lock,
    machine_lock_is_shared,
    session_alive,
    session_lock,
    try_acquire,
)

OTHER_USER = 65534


@pytest.fixture
def elsewhere(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that becomes TMPDIR."""
    folder = work / "elsewhere"
    folder.mkdir()
    return folder


def move(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def test_a_session_lives_whatever_tmpdir_says(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_lock("s1"):
        move(monkeypatch, elsewhere)
        assert (session_alive("s1"), session_alive("s2")) == (True, False)
        assert living_sessions() == ["s1"]
    assert living_sessions() == []
    assert sessions_folder().stat().st_mode & 0o777 == 0o700


def test_the_machine_has_one_lock_whatever_tmpdir_says(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCHCAST_LOCKS")
    monkeypatch.setattr("bench.locks.SHARED", (elsewhere,))
    private = machine_lock().lock_file
    assert not machine_lock_is_shared()
    elsewhere.chmod(0o1777)
    assert machine_lock_is_shared()
    path = machine_lock().lock_file
    move(monkeypatch, elsewhere)
    assert machine_lock().lock_file == path
    assert Path(path).parent == elsewhere
    assert Path(private).parent != elsewhere


def test_cells_in_one_process_take_turns_too(work: Path) -> None:
    with machine_lock():
        assert not try_acquire(machine_lock())
    assert try_acquire(machine_lock())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_takes_turns_with_this_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to(tempfile.gettempdir()):
            parent.chmod(parent.stat().st_mode | 0o011)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHCAST_LOCKS", str(tmp_path))
        umask = os.umask(0o077)
        try:
            with machine_lock():
                ask = context.Process(target=as_another_user, args=(answers,))
                ask.start()
                assert answers.get(timeout=60) is False
                ask.join()
            ask = context.Process(target=as_another_user, args=(answers,))
            ask.start()
            assert answers.get(timeout=60) is True
            ask.join()
        finally:
            os.umask(umask)


def as_another_user(answers: multiprocessing.Queue[bool | str]) -> None:
    """Try to take the machine's lock as somebody else."""
    os.setuid(OTHER_USER)
    try:
        answers.put(try_acquire(machine_lock()))
    except OSError as error:
        answers.put(str(error))


def test_work_folders_are_found_from_a_shell_with_another_tmpdir(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = work_root()
    move(monkeypatch, elsewhere)
    second = work_root()
    assert first != second
    assert work_roots() == sorted([first, second])
    second.rmdir()
    move(monkeypatch, first.parent)
    assert work_roots() == [first]
