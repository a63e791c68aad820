"""The settings that a session keeps go with it, unless something may be left to clean up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.directories import sessions_folder
from bench.environments.fake import FakeCluster
from bench.errors import LaunchFailed
from bench.runner import PreparedStudy, run
from bench.store.folder import Store
from tests.campaigns import Memory, prepare, write
from tests.cli.test_bad_input import benchcast


def secretive(study: Path) -> PreparedStudy:
    """Return a prepared study with a setting that no record holds."""
    prepared = prepare(study)
    (spec,) = prepared.study.environments
    hidden = msgspec.structs.replace(spec, recorded={})
    whole = msgspec.structs.replace(prepared.study, environments=(hidden,))
    return msgspec.structs.replace(prepared, study=whole)


@pytest.mark.parametrize("fails", [False, True])
def test_settings_stay_where_a_cluster_could_not_be_closed(
    work: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    study, store = write(work, workers=[1], repeats=1), Store(work / "results" / "fake")
    prepared = secretive(study)
    if fails:
        with monkeypatch.context() as patch:
            patch.setattr(FakeCluster, "close", refuse)
            with pytest.raises(LaunchFailed):
                run(prepared, store, Memory())
    else:
        run(prepared, store, Memory())
    left = sorted(path.suffix for path in sessions_folder().iterdir())
    assert left == ([".json"] if fails else [])
    for path in sessions_folder().iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert ("removed fake cluster" in benchcast("cleanup").stdout) is fails
    assert list(sessions_folder().iterdir()) == []


def refuse(cluster: FakeCluster) -> None:
    raise LaunchFailed("the vCenter keeps a VM")
