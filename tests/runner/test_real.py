"""Real campaigns on this machine: the same work, kill -9 at random moments, two at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.environments.local.provider import LocalProvider
from bench.hosts.agent import processes
from bench.records.results import Run
from bench.records.study import Case
from bench.store.folder import Store
from tests.analysis.factory import analysis_of
from tests.campaigns import prepare

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SEED = 20261121
STUDY = """
title   = "small and real"
workers = {workers}
repeats = {repeats}
timeout = "5 min"
{top}
[dataset.small]
generator = "spark-perf"
rows      = {rows}
features  = 12
seed      = {seed}
[[workload]]
use     = [{use}]
dataset = "small"
params  = {{ tolerance = {tolerance} }}
[[environment]]
name   = "here"
kind   = "local"
worker = {{ cores = 1, memory = "1 GiB" }}
"""
SPARK, TENSORFLOW = "spark-logistic-regression", "tensorflow-logistic-regression"


def write(folder: Path, *use: str, **changes: object) -> Path:
    """Write a small study of these workloads."""
    said = {"rows": 4096, "seed": 5, "tolerance": 1e-10, "workers": [1, 2], "repeats": 1, "top": ""}
    said |= changes
    path = folder / "small.toml"
    names = ", ".join(f'"{name}"' for name in use)
    path.write_text(STUDY.format(use=names, **said))
    return path


def start(study: Path, results: Path, scratch: str | None = None) -> subprocess.Popen[bytes]:
    """Start ``benchcast run`` in a process of its own, with a TMPDIR of its own if one is given."""
    words = [sys.executable, "-m", "bench", "run", str(study), "--results", str(results)]
    temporary = scratch or tempfile.gettempdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": temporary}
    return subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL)


def finish(study: Path, results: Path) -> Store:
    """Run to the end and return the results."""
    assert start(study, results).wait(900) == 0
    return Store(results / "small")


def marked(store: Store) -> list[int]:
    """Return the processes that carry the mark of a session of these results."""
    sessions = store.read().sessions
    found = processes.scan()
    return [pid for pid, env in found if env[processes.OWNER].split("/")[1] in sessions]


def left(store: Store) -> list[str]:
    """Return what sessions of these results left; other campaigns' things are not theirs."""
    sessions = store.read().sessions
    provider = LocalProvider()
    found = [one.text for one in provider.owned() if one.owner.session in sessions]
    provider.close()
    return found


def sleep_until_begun(process: subprocess.Popen[bytes], store: Store, extra: float) -> None:
    """Wait until a session is on the disk, then ``extra`` seconds more or until it ends."""
    deadline = time.monotonic() + 60
    while not any(store.root.glob("*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    end = time.monotonic() + extra
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("engine", "longest"), [(SPARK, 50.0), (TENSORFLOW, 20.0)], ids=["spark", "tensorflow"]
)
def test_killed_at_random_moments_nothing_stays_and_the_campaign_completes(
    work: Path, engine: str, longest: float
) -> None:
    # Two starts that took the harness down count as a failed attempt.
    study, results = write(work, engine, top="retries = 1"), work / "results"
    store = Store(results / "small")
    dice = random.Random(SEED)
    kept: list[str] = []
    for _ in range(2):
        process = start(study, results)
        sleep_until_begun(process, store, dice.uniform(1.0, longest))
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = [run.run for run in store.read().runs if run.status == "ok"]
        assert set(kept) <= set(done)
        kept = done
    finish(study, results)
    assert marked(store) == []
    assert left(store) == []
    read = store.read()
    planned = sorted(cell.key for cell in prepare(study).plan().cells)
    assert sorted(run.cell.key for run in read.runs if run.status == "ok") == planned
    assert {run.run for run in read.runs} >= set(kept)
    assert {path.name for path in store.root.iterdir() if path.is_dir()} == {
        run.run for run in read.runs
    }


def test_cleanup_after_a_kill_removes_what_still_runs(work: Path) -> None:
    study, results = write(work, TENSORFLOW, rows=400_000), work / "results"
    store = Store(results / "small")
    process = start(study, results)
    deadline = time.monotonic() + 60
    while not (any(store.root.glob("*.jsonl")) and marked(store)) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert marked(store)
    words = [sys.executable, "-m", "bench", "cleanup", "--results", str(results)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": tempfile.gettempdir()}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert "removed" in done.stdout
    assert marked(store) == []
    assert left(store) == []


def test_two_campaigns_of_one_title_at_once_take_turns(work: Path) -> None:
    study = write(work, TENSORFLOW, repeats=2)
    (work / "scratch").mkdir()
    both = [start(study, work / "one"), start(study, work / "two", str(work / "scratch"))]
    assert [process.wait(600) for process in both] == [0, 0]
    runs: list[Run] = []
    for store in (Store(work / "one" / "small"), Store(work / "two" / "small")):
        assert left(store) == []
        read = store.read()
        assert [run.status for run in read.runs] == ["ok"] * 4
        runs += read.runs
    assert any(run.phases["queue"] > 1.0 for run in runs)


def verdicts(runs: Sequence[Path]) -> dict[bool | None, list[str]]:
    """Return the verdicts over the runs of these results: comparable -> reasons."""
    sessions, found, limits = [], [], {}
    cases: dict[str, Case] = {}
    for folder in runs:
        read = Store(folder).read()
        sessions += list(read.sessions.values())
        found += read.runs
        cases |= read.cases
        limits.update({bundle.task: bundle.quality for bundle in read.bundles.values()})
    made = analysis_of(sessions, [], found, cases=cases, limits=limits)
    said: dict[bool | None, list[str]] = {}
    for verdict in made.comparison.verdicts:
        said.setdefault(verdict.comparable, []).extend(verdict.reasons)
    return said


def test_both_engines_find_the_same_model_at_one_and_two_workers(work: Path) -> None:
    store = finish(write(work, SPARK, TENSORFLOW), work / "results")
    runs = store.read().runs
    assert [run.status for run in runs] == ["ok"] * 4
    models = [run.quality for run in runs if run.quality is not None]
    objectives = [model.numbers["objective"] for model in models]
    areas = [model.numbers["auc"] for model in models]
    assert (len(objectives), len(areas)) == (4, 4)
    assert max(objectives) - min(objectives) < 1e-6
    assert max(areas) - min(areas) < 1e-4
    assert len({run.digests.datasets["train"] for run in runs if run.digests}) == 1
    assert set(verdicts([store.root])) == {True}
    for run in runs:
        assert (store.folder(run.run) / "samples.parquet").is_file()
        assert sum(run.phases.values()) > 0
        wall = run.phases["launch"] + run.phases["work"]
        assert run.spans["cpu"] < wall


def test_other_work_is_not_comparable(work: Path) -> None:
    changes: dict[str, tuple[dict[str, object], str]] = {
        "seed": ({"seed": 6}, "dataset"),
        "rows": ({"rows": 4097}, "dataset"),
        "tolerance": ({"tolerance": 1e-3}, "tolerance"),
    }
    (work / "base").mkdir()
    base = finish(write(work / "base", TENSORFLOW, workers=[1]), work / "of-base")
    for name, (change, said) in changes.items():
        (work / name).mkdir()
        study = write(work / name, TENSORFLOW, workers=[1], **change)
        found = verdicts([base.root, finish(study, work / f"of-{name}").root])
        assert any(said in reason for reason in found[False]), (name, found)
