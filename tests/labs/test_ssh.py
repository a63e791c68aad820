"""Whole campaigns over SSH on the lab's hosts: the same model, hosts that die, kill -9."""

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

from bench.analysis.overview import overview
from bench.hosts import processes
from bench.model import Run
from bench.store import Store
from tests.conftest import absent
from tests.labs.hosts import LabHost, lab, missing

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.real, pytest.mark.alone, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SEED = 20261121
STUDY = """
title   = "a rack"
workers = {workers}
repeats = {repeats}
retries = 2
timeout = "5 min"
[dataset.small]
generator = "spark-perf"
rows      = 4096
features  = 12
seed      = 5
[[workload]]
use     = [{use}]
dataset = "small"
[[environment]]
name        = "rack"
kind        = "ssh"
hosts       = {hosts}
user        = "root"
key         = "{key}"
known_hosts = "{known}"
python      = "{python}"
worker      = {{ cores = 1, memory = "1 GiB"{limit} }}
"""
SPARK, TENSORFLOW = "spark-logistic-regression", "tensorflow-logistic-regression"


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = missing()
    if reason:
        absent(f"the lab's hosts ({reason})", "make lab")


def write(folder: Path, hosts: Sequence[LabHost], *use: str, **said: object) -> Path:
    """Write a small study on these hosts."""
    path = folder / "rack.toml"
    told = {"workers": [1], "repeats": 1, "limit": "", **said}
    names = ", ".join(f'"{name}"' for name in use)
    text = STUDY.format(
        use=names,
        hosts=[host.address for host in hosts],
        key=hosts[0].key,
        known=hosts[0].known_hosts,
        python=sys.executable,
        **told,
    )
    path.write_text(text)
    return path


def start(verb: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a verb of benchcast in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": tempfile.gettempdir()}
    return subprocess.Popen([sys.executable, "-m", "bench", verb, *words], env=env)


def left(store: Store, hosts: Sequence[LabHost]) -> list[str]:
    """Return what carries a mark of a session of these results: it must not be there."""
    sessions = list(store.read().sessions)
    marked = [env[processes.OWNER] for _, env in processes.scan()]
    groups = [str(path) for host in hosts for group in host.groups for path in group.glob("*.*.*")]
    folders = [str(path) for host in hosts for path in host.home.glob(".cache/benchcast/work/*")]
    found = [*marked, *groups, *folders]
    return [text for text in found if any(session in text for session in sessions)]


def ended(store: Store) -> list[Run]:
    """Return the runs so far."""
    return store.read().runs


def test_one_to_three_hosts_find_the_same_model(work: Path) -> None:
    with lab(3) as hosts:
        study = write(work, hosts, SPARK, TENSORFLOW, workers=[1, 2, 3])
        store = Store(work / "results" / "rack")
        assert start("run", str(study), "--results", str(store.root.parent)).wait(900) == 0
        read = store.read()
        assert [run.status for run in read.runs] == ["ok"] * 6
        assert {run.workers_seen for run in read.runs} == {1, 2, 3}
        assert left(store, hosts) == []
        text = "".join(path.read_text() for path in store.root.glob("*.jsonl"))
        for private in (str(hosts[0].key), str(hosts[0].known_hosts), '"user"'):
            assert private not in text
    tolerances = {bundle.task: bundle.quality for bundle in read.bundles.values()}
    made = overview(list(read.sessions.values()), [], read.runs, tolerances=tolerances)
    assert made.verdicts
    assert [verdict.reasons for verdict in made.verdicts if not verdict.comparable] == []


def test_a_cpu_limit_holds_inside_a_host(work: Path) -> None:
    with lab(1) as hosts:
        study = write(work, hosts, TENSORFLOW, limit=", cpu_limit = 0.5")
        store = Store(work / "results" / "rack")
        assert start("run", str(study), "--results", str(store.root.parent)).wait(600) == 0
        (run,) = ended(store)
        assert run.worker_cpu is not None
        assert run.worker_cpu <= 0.55 * (run.phases["launch"] + run.phases["work"]) + 1.0
        assert left(store, hosts) == []


def test_a_host_that_dies_in_mid_run_is_replaced_by_the_next(work: Path) -> None:
    with lab(3) as hosts:
        study = write(work, hosts, TENSORFLOW, workers=[2], repeats=3)
        store = Store(work / "results" / "rack")
        running = start("run", str(study), "--results", str(store.root.parent))
        deadline = time.monotonic() + 300
        while not _started(store) and time.monotonic() < deadline:
            time.sleep(0.2)
        hosts[1].kill()
        assert running.wait(900) == 0
        runs = ended(store)
        assert [run.status for run in runs].count("ok") == 3
        failed = [run.reason for run in runs if run.status == "failed"]
        assert failed
        assert any(hosts[1].address in reason for reason in failed)


def _started(store: Store) -> bool:
    return any('"started"' in path.read_text() for path in store.root.glob("*.jsonl"))


def test_killed_at_random_moments_cleanup_leaves_nothing(work: Path) -> None:
    dice = random.Random(SEED)
    with lab(2) as hosts:
        study = write(work, hosts, SPARK, workers=[2], repeats=2)
        store = Store(work / "results" / "rack")
        results = ["--results", str(store.root.parent)]
        for _ in range(3):
            running = start("run", str(study), *results)
            deadline = time.monotonic() + 60
            while not any(store.root.glob("*.jsonl")) and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(dice.uniform(0.5, 25.0))
            running.send_signal(signal.SIGKILL)
            running.wait()
            assert start("cleanup", *results).wait(120) == 0
            assert left(store, hosts) == []
        assert start("run", str(study), "--retry-failed", *results).wait(900) == 0
        assert [run.status for run in ended(store)].count("ok") == 2
        assert left(store, hosts) == []
