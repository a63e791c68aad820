"""Environments that share no machine run side by side; limits and ends hold over all of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from bench import environments
from bench.contracts import Cluster, Environment
from bench.environments.fake import FakeEnvironment
from bench.errors import Stopped, StorageFailed
from bench.records.cluster import ClusterSpec, Owner
from bench.records.results import Run
from bench.records.study import EnvironmentSpec
from bench.runner import run
from bench.runner.sharing import lanes_of
from bench.store.folder import Store
from bench.store.journal import Journal
from tests.campaigns import Memory, campaign, prepare
from tests.cli.test_bad_input import benchcast

ROOT = Path(__file__).parents[2]
SEED = 20261124


def write(
    folder: Path, *, top: str = "", names: Sequence[str] = ("a", "b"), **each: object
) -> Path:
    """Write a study of fakes side by side; ``each`` are settings of all of them."""
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in each.items())
    head = f'title = "lanes"\nworkers = [1, 2]\nrepeats = 2\ntimeout = "30 s"\n{top}\n'
    work = '[[workload]]\nuse = "spark-logistic-regression"\ndataset = "synthetic"\n'
    entry = '[[environment]]\nname = "{}"\nkind = "fake"\nstartup = {}\n{}\n'
    numbered = zip(names, (1, 2, 3), strict=False)  # two equal environments are refused
    path = folder / "lanes.toml"
    path.write_text(head + work + "".join(entry.format(*one, settings) for one in numbered))
    return path


def spans(runs: Iterable[Run], environment: str) -> list[tuple[float, float]]:
    """Return when runs of an environment were begun and recorded, by their ids' clock."""
    begun = [one.started_at.timestamp() for one in runs if one.cell.environment == environment]
    return sorted((at, at + 0.3) for at in begun)


def overlap(runs: Sequence[Run]) -> bool:
    """Return whether any run of ``a`` slept while one of ``b`` did."""
    return any(
        one[0] < two[1] and two[0] < one[1] for one in spans(runs, "a") for two in spans(runs, "b")
    )


@pytest.mark.parametrize("parallel", [True, False])
def test_environments_overlap_in_time_unless_the_study_says_no(work: Path, parallel: bool) -> None:
    store = Store(work / "results")
    top = "" if parallel else "parallel = false"
    summary, memory = campaign(write(work, top=top, sleep=0.3), store)
    assert (summary.ok, summary.remaining, summary.unsuccessful) == (8, 0, 0)
    runs = store.read().runs
    assert overlap(runs) is parallel
    for name in "ab":  # within a lane one cell runs after the other, whatever the others do
        assert all(one[1] <= two[0] for one, two in pairwise(spans(runs, name)))
    assert len(memory.runs) == 8
    assert len({run.cluster for run in runs}) == 2
    openings = [line for line in store.read().clusters if line.event == "opening"]
    assert sorted(line.environment for line in openings) == ["a", "b"]


def test_clusters_stay_open_when_environments_alternate(work: Path) -> None:
    store = Store(work / "results")
    top = 'order = "random"\nparallel = false'
    summary, _ = campaign(write(work, top=top), store)
    assert summary.ok == 8
    turns = [one.cell.environment for one in store.read().runs]
    assert sum(one != two for one, two in pairwise(turns)) > 1  # they do alternate
    lines = store.read().clusters
    assert sorted(one.environment for one in lines if one.event == "opening") == ["a", "b"]


@pytest.mark.parametrize("parallel", [True, False])
def test_the_limit_of_machines_holds_over_all_lanes(
    work: Path, monkeypatch: pytest.MonkeyPatch, parallel: bool
) -> None:
    held: dict[str, int] = {}
    most = 0

    def note(name: str, workers: int) -> None:
        nonlocal most
        held[name] = workers
        most = max(most, sum(held.values()))

    watch(monkeypatch, note)
    store = Store(work / "results")
    top = f"limits = {{ machines = 3 }}\norder = 'random'\nparallel = {str(parallel).lower()}"
    summary, _ = campaign(write(work, top=top, names="abc", sleep=0.05), store)
    assert (summary.ok, summary.skipped) == (12, 0)
    assert 1 < most <= 3
    assert sum(held.values()) == 0
    assert not parallel or any(one.phases["queue"] > 0.0 for one in store.read().runs)


def watch(monkeypatch: pytest.MonkeyPatch, note: Callable[[str, int], None]) -> None:
    """Tell how many workers each environment's cluster has, whenever that changes."""
    whole = FakeEnvironment.open

    def open_(place: FakeEnvironment, need: ClusterSpec, owner: Owner) -> Cluster:
        cluster = whole(place, need, owner)
        adapt, close = cluster.adapt, cluster.close  # type: ignore[attr-defined]

        def adapted(spec: ClusterSpec) -> None:
            note(owner.cluster, spec.workers)
            adapt(spec)

        def closed() -> None:
            close()
            note(owner.cluster, 0)

        monkeypatch.setattr(cluster, "adapt", adapted, raising=False)
        monkeypatch.setattr(cluster, "close", closed)
        note(owner.cluster, need.workers)
        return cluster

    monkeypatch.setattr(FakeEnvironment, "open", open_)


def test_an_error_in_one_lane_ends_the_other_and_is_raised(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Journal.write

    def full(journal: Journal, line: object) -> None:
        if isinstance(line, Run) and line.cell.environment == "a":
            raise StorageFailed("the disk is full")
        whole(journal, line)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "write", full)
    store = Store(work / "results")
    study = write(work, sleep=0.1)
    text = study.read_text()
    study.write_text(text[: text.rindex("sleep = 0.1")] + "sleep = 60\n")  # b would run for minutes
    begun = time.monotonic()
    with pytest.raises(StorageFailed, match="the disk is full"):
        campaign(study, store)
    assert time.monotonic() - begun < 30
    assert left() == []
    read = store.read()
    assert read.runs == []
    stopped = [json.loads(line)["reason"] for line in records(store, "stopped")]
    assert stopped == ["stopped: the disk is full; run again to continue"]


def test_the_time_limit_ends_all_lanes(work: Path) -> None:
    store, study = Store(work / "results"), write(work, sleep=0.4)
    with pytest.raises(Stopped, match="the time limit is reached; run again"):
        run(prepare(study), store, Memory(), max_time=1.0)
    assert left() == []
    kept = len(store.read().runs)
    assert kept < 8
    summary, _ = campaign(study, store)
    assert summary.ok + kept == 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_lanes_and_closes_every_cluster(work: Path, number: int) -> None:
    process, store = start(write(work, sleep=60.0), work / "r")
    await_started(store, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3, errors
    assert errors.splitlines()[-1] == "benchcast: stopped; run again to continue"
    reasons = [json.loads(line)["reason"] for line in records(store, "stopped")]
    assert reasons == ["stopped by the user; run again to continue"] * 2
    assert (store.read().orphans, left()) == ([], [])


@pytest.mark.slow
def test_killed_at_random_moments_no_finished_cell_is_lost(work: Path) -> None:
    study = write(work, top="retries = 1", sleep=0.2)
    planned = sorted(cell.key for cell in prepare(study).plan().cells)
    dice = random.Random(SEED)
    kept: set[str] = set()
    store = Store(work / "r" / "lanes")
    for _ in range(4):
        before = len(records(store, "started"))
        process, _ = start(study, work / "r")
        await_started(store, before + 1)
        time.sleep(dice.uniform(0.0, 0.5))
        process.kill()
        process.communicate()
        done = {one.run for one in store.read().runs if one.status == "ok"}
        assert kept <= done
        kept = done
    assert benchcast("run", str(study), "--results", str(work / "r"), "--retry-failed").stdout
    read = store.read()
    assert kept <= {one.run for one in read.runs}
    assert sorted(one.cell.key for one in read.runs if one.status == "ok") == planned
    assert left() == []
    assert {path.name for path in store.root.iterdir() if path.is_dir()} == {
        one.run for one in read.runs
    }


def test_environments_with_a_machine_in_common_are_one_lane() -> None:
    class Place(FakeEnvironment):
        def __init__(self, *used: str) -> None:
            self.used = frozenset(used)

        def machines_used(self) -> frozenset[str]:
            return self.used

    class Here(Place):
        kind = "local"

    places: dict[str, Environment] = {
        "a": Place("x", "y"),
        "b": Place("z"),
        "c": Place("y", "w"),
        "here": Here(),
        "also": Place("this machine"),
        "apart": Place(),
        "d": Place("w"),
    }
    found = [sorted(names) for names in lanes_of(places)]
    assert sorted(found) == [["a", "c", "d"], ["also", "here"], ["apart"], ["b"]]
    assert lanes_of(places, parallel=False) == [set(places)]


def left() -> list[str]:
    fake = environments.build(EnvironmentSpec(name="fake", kind="fake"))
    return [one.text for one in fake.owned()]


def start(study: Path, results: Path) -> tuple[subprocess.Popen[str], Store]:
    """Start ``benchcast run`` in a process of its own."""
    words = [sys.executable, "-m", "bench", "run", str(study), "--results", str(results)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
    return process, Store(results / study.stem)


def records(store: Store, kind: str) -> list[str]:
    """Return the lines of a kind that are whole."""
    lines = [line for path in store.root.glob("*.jsonl") for line in path.read_text().split("\n")]
    return [line for line in lines if line.startswith(f'{{"record":"{kind}"')]


def await_started(store: Store, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(records(store, "started")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
