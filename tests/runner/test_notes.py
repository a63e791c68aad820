"""What a host or a platform reports reaches the user once, and each run that it is about."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from bench.contracts import Cluster, MetricSource
from bench.environments.fake import FakeCluster, FakeEnvironment
from bench.records.cluster import ClusterSpec, Owner
from bench.store.folder import Store
from tests.campaigns import campaign, write
from tests.runner.test_lanes import write as lanes

SPARE = "using a spare host in place of b: b does not answer (see /home/jane/log)"
SAMPLES = "no samples of host a"
_log = logging.getLogger("bench.hosts.somewhere")


class Broken:
    """A source that has no samples."""

    def start(self, interval: float) -> None:
        _log.warning(SAMPLES)

    def stop(self, folder: Path) -> None:
        pass


@pytest.fixture
def _troubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spare is used when a cluster opens, and no run has samples."""
    whole = FakeEnvironment.open

    def open_(place: FakeEnvironment, need: ClusterSpec, owner: Owner) -> Cluster:
        _log.warning(
            "using a spare host in place of %s: b does not answer (see %s)", "b", "/home/jane/log"
        )
        return whole(place, need, owner)

    def sources(cluster: FakeCluster) -> Sequence[MetricSource]:
        return [Broken()]

    monkeypatch.setattr(FakeEnvironment, "open", open_)
    monkeypatch.setattr(FakeCluster, "sources", sources)


@pytest.mark.usefixtures("_troubled")
def test_the_user_hears_it_once_and_the_record_has_it_where_it_belongs(work: Path) -> None:
    store = Store(work / "results")
    summary, memory = campaign(write(work), store)
    assert summary.ok == 8
    assert sorted(memory.notes) == [SAMPLES, SPARE]
    first, *rest = sorted(store.read().runs, key=lambda one: one.started_at)
    texts = {event.text for event in first.events}
    assert texts == {"using a spare host in place of b: b does not answer (see .../log)", SAMPLES}
    assert all([event.text for event in one.events] == [SAMPLES] for one in rest)
    assert {event.kind for event in first.events} == {"note"}


@pytest.mark.usefixtures("_troubled")
def test_lanes_do_not_mix_their_notes_up(work: Path) -> None:
    store = Store(work / "results")
    summary, memory = campaign(lanes(work, sleep=0.1), store)
    assert summary.ok == 8
    assert sorted(memory.notes) == [SAMPLES, SPARE]
    for name in "ab":
        runs = [one for one in store.read().runs if one.cell.environment == name]
        counts = sorted(len(one.events) for one in runs)
        assert counts == [1, 1, 1, 2]


@pytest.mark.usefixtures("_troubled")
def test_json_holds_notes_as_findings(work: Path) -> None:
    write(work)
    done = CliRunner().invoke(app, ["run", "fake.toml", "--json"])
    assert done.exit_code == 0
    findings = json.loads(done.stdout)["findings"]
    assert {SAMPLES, SPARE} <= {one["what"] for one in findings}
    assert f"note: {SPARE}" in done.stderr
    assert not logging.getLogger("bench").handlers
    assert threading.active_count() == 1


def test_settings_stay_where_cleanup_could_not_look(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.directories import sessions_folder

    assert CliRunner().invoke(app, ["run", str(write(work))]).exit_code == 0
    (file,) = Path("results/fake").glob("*.jsonl")
    kept = sessions_folder() / f"{file.stem}.lock"
    kept.touch()  # as if it had crashed
    whole = FakeEnvironment.owned

    def unknown(place: FakeEnvironment) -> object:
        _log.warning("cannot look for leftovers: host b is silent")
        return whole(place)

    with monkeypatch.context() as patch:
        patch.setattr(FakeEnvironment, "owned", unknown)
        done = CliRunner().invoke(app, ["cleanup", "--json"])
        (finding,) = json.loads(done.stdout)["findings"]
        assert finding["what"] == "cannot look for leftovers: host b is silent"
        assert kept.exists()
    assert CliRunner().invoke(app, ["cleanup"]).exit_code == 0
    assert not kept.exists()
