"""Spark and TensorFlow on one to three clones: one model, also here, and a page that compares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.store.folder import Store
from tests.conftest import absent
from tests.labs import hosts as lab_hosts
from tests.labs.clones import Site, site
from tests.labs.vcenter import missing

pytest.importorskip("pyVmomi", reason="pip install 'benchcast[vsphere]'")
pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytestmark = [pytest.mark.lab, pytest.mark.real, pytest.mark.alone, pytest.mark.timeout(900)]

STUDY = """
title   = "one to three clones, and here"
repeats = 1
limits  = { machines = 4 }
[dataset.small]
generator = "spark-perf"
rows      = 1024
features  = 3
seed      = 5
[[workload]]
use     = "tensorflow-logistic-regression"
dataset = "small"
[[workload]]
use     = "spark-logistic-regression"
dataset = "small"
on      = ["dc0"]
[[environment]]
name    = "here"
kind    = "local"
workers = 1
worker  = { cores = 1, memory = "1 GiB" }
"""
USE = ("spark-logistic-regression", "tensorflow-logistic-regression")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """A vCenter whose clones are hosts."""
    if reason := missing() or lab_hosts.missing():
        absent(f"the lab ({reason})", "make lab")
    with site(tmp_path) as made:
        yield made


def test_both_engines_on_one_to_three_clones_find_one_model_and_compare(place: Site) -> None:
    settings = place.settings(workers=[1, 2, 3], worker={"cores": 1, "memory": "1 GiB"})
    study = place.study(STUDY, settings=settings)
    code, _, errors = place.benchcast("run", str(study), timeout=800)
    assert code == 0, errors
    runs = Store(place.folder / "results" / "clones").read().runs
    assert [run.status for run in runs] == ["ok"] * 7, [run.reason for run in runs]
    met = {(run.cell.workload, run.cell.environment, run.workers_seen) for run in runs}
    assert met == {(use, "dc0", n) for use in USE for n in (1, 2, 3)} | {(USE[1], "here", 1)}
    objectives = [run.quality.numbers["objective"] for run in runs if run.quality is not None]
    assert len(objectives) == 7
    assert max(objectives) - min(objectives) < 1e-6
    assert len({run.digests.datasets["train"] for run in runs if run.digests}) == 1
    check_page(place, study)


def check_page(place: Site, study: Path) -> None:
    """The gate finds one model, within engines and environments and across them."""
    code, out, errors = place.benchcast("report", str(study), "--json")
    assert code == 0, errors
    told = json.loads(out)["data"]
    verdicts = told["analysis"]["comparison"]["verdicts"]
    assert {one["comparable"] for one in verdicts} == {True}, verdicts
    across = {(one["left"], one["right"]) for one in verdicts}
    assert len(across) >= 4, across  # within each curve; across engines; across environments
    page = (place.folder / told["page"]).read_text(encoding="utf-8")
    for told_there in (*USE, "dc0", "here", "linked clone"):
        assert told_there in page
