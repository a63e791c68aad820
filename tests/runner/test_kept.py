"""The settings that a session keeps go with it, unless something may be left to clean up."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.environments.fake import FakeCluster
from bench.errors import LaunchFailed
from bench.runner import cleanup
from bench.store.folder import Store
from tests.campaigns import campaign, write


@pytest.mark.parametrize("fails", [False, True])
def test_settings_stay_where_a_cluster_could_not_be_closed(
    work: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    kept = work / "kept.json"
    kept.touch()
    monkeypatch.setattr(cleanup, "keep", lambda *_: kept)
    close = FakeCluster.close

    def refuse(cluster: FakeCluster) -> None:
        close(cluster)
        raise LaunchFailed("the vCenter keeps a VM")

    study, store = write(work, workers=[1], repeats=1), Store(work / "results")
    if fails:
        monkeypatch.setattr(FakeCluster, "close", refuse)
        with pytest.raises(LaunchFailed):
            campaign(study, store)
    else:
        campaign(study, store)
    assert kept.exists() is fails
