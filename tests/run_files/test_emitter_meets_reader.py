"""What the workloads' emitter writes is what the harness reads: every field arrives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.records.results import Vector
from bench.run_files.workload_log import read

ROOT = Path(__file__).parents[2]
WORKLOAD = """
import numpy as np
from _common.emitter import Report
report = Report.read()
report.versions(spark="4.3.0", java="21.0.8")
report.ready(workers=2)
for number in report.passes():
    with report.stage("train"):
        pass
    report.measure("auc", 0.75, item="test")
report.dataset("train", name="small", digest="d" * 64, rows=3)
report.quality(
    objective=0.5, auc=0.75, iterations=7, converged=True, precision="float64",
    vector=np.array([3.0, 4.0]),
)
report.artefact("model", lambda path: path.write_bytes(b"x"))
report.end()
"""


def test_every_field_arrives(tmp_path: Path) -> None:
    script, log = tmp_path / "main.py", tmp_path / "log"
    script.write_text(WORKLOAD)
    said = '{"run":"r1","params":{},"datasets":{"train":{"name":"small"}},"metrics":{"auc":""},'
    said += '"passes":2,"stages":"fused",'
    words = [sys.executable, str(script), said + f'"folder":"{tmp_path}"' + "}"]
    with log.open("wb") as file:
        env = {"PYTHONPATH": str(ROOT / "workloads")}
        subprocess.run(words, stdout=file, env=env, check=True, timeout=60)
    found = read(log, "r1")
    assert found.fault == ""
    assert set(found.versions) == {"python", "numpy", "spark", "java"}
    assert (found.workers, found.datasets) == (2, {"train": "d" * 64})
    assert len(found.passes) == 2
    assert [(one.name, one.number) for one in found.stages] == [("train", 0), ("train", 1)]
    assert all(one.driver_cpu is not None for one in found.stages)
    assert [(one.metric, one.values, one.item) for one in found.measurements] == [
        ("auc", (0.75,), "test")
    ] * 2
    assert found.quality is not None
    figures = dict(found.quality.figures)
    vector = figures.pop("vector")
    assert figures == {"objective": 0.5, "auc": 0.75, "iterations": 7, "converged": True}
    assert isinstance(vector, Vector)
    assert (vector.count, vector.norm) == (2, 5.0)
    assert len(vector.projections) == 16
    assert set(found.artefacts) == {"model"}
