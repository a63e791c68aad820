"""What all tests share: a temporary folder of their own for work folders and locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs import unavailable


@pytest.fixture(scope="session", autouse=True)
def _no_state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own state folder out of every test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to stand in, with work folders, locks and caches of its own beside it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BENCHCAST_LOCKS", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    left = [name for name in os.listdir(scratch) if name.startswith(("spark-", "hsperf"))]
    assert left == []


def absent(peer: str, remedy: str) -> None:
    """Skip for want of a peer, naming what brings it.

    In CI it is a failure, unless ``make lab`` noted that this machine cannot host it.
    """
    text = f"{peer} is absent: {remedy}"
    if os.environ.get("CI") == "true" and not unavailable.impossible(peer):
        pytest.fail(text)
    pytest.skip(text)
