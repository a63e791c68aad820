"""The main job on cloned machines: one to three workers, one model, a page that compares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.store import Store
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
rows      = 4096
features  = 12
seed      = 5
[[workload]]
use     = ["tensorflow-logistic-regression"]
dataset = "small"
[[environment]]
name    = "here"
kind    = "local"
workers = 1
worker  = { cores = 1, memory = "1 GiB" }
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """A vCenter whose clones are hosts."""
    if reason := missing() or lab_hosts.missing():
        absent(f"the lab ({reason})", "make lab")
    with site(tmp_path) as made:
        yield made


def test_one_to_three_workers_on_clones_find_one_model_and_compare(place: Site) -> None:
    settings = place.settings(workers=[1, 2, 3], worker={"cores": 1, "memory": "1 GiB"})
    study = place.study(STUDY, settings=settings)
    code, _, errors = place.benchcast("run", str(study), timeout=800)
    assert code == 0, errors
    runs = Store(place.folder / "results" / "clones").read().runs
    assert [run.status for run in runs] == ["ok"] * 4, [run.reason for run in runs]
    objectives = [run.quality.objective for run in runs if run.quality is not None]
    assert len(objectives) == 4
    assert max(objectives) - min(objectives) < 1e-6
    assert len({run.digests.dataset for run in runs if run.digests}) == 1
    code, out, errors = place.benchcast("report", str(study), "--json")
    assert code == 0, errors
    told = json.loads(out)["data"]
    assert {one["comparable"] for one in told["overview"]["verdicts"]} == {True}
    assert any(one["reasons"] == [] for one in told["overview"]["verdicts"])
    page = place.folder / told["page"]
    assert "dc0" in page.read_text(encoding="utf-8")
