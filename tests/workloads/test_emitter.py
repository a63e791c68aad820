"""The emitter: lines as the contract says, nothing else."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _common.emitter import MARK, MAX_BYTES, Report, ReportError


def job(folder: Path, **changes: object) -> str:
    fields: dict[str, object] = {
        "run": "n-1",
        "params": {"tolerance": 1e-9},
        "datasets": {"train": {"name": "flights"}},
        "metrics": {"auc": ""},
        "passes": 2,
        "stages": "fused",
        "folder": str(folder),
    }
    return json.dumps(fields | changes)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Report:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    return Report.read([job(tmp_path / "folder")])


def lines(capfd: Any) -> list[dict[str, Any]]:
    text = capfd.readouterr().out
    assert all(line.startswith(MARK) for line in text.splitlines())
    return [json.loads(line[len(MARK) :]) for line in text.splitlines()]


def test_every_line_carries_the_head_and_no_gap(report: Report, capfd: Any) -> None:
    report.versions(spark="4.3.0")
    report.ready(workers=2)
    for _ in report.passes():
        with report.stage("train"):
            report.measure("auc", np.float64(0.75), item="test")
    report.end()
    told = lines(capfd)
    assert [line["seq"] for line in told] == list(range(len(told)))
    assert {(line["v"], line["run"], line["rank"]) for line in told} == {(1, "n-1", 0)}
    assert all(line["mono_ns"] > 0 and line["wall_ns"] > 0 for line in told)
    work = ["pass", "stage_start", "measure", "stage"]
    events = [line["event"] for line in told]
    assert events == ["begin", "versions", "ready", *work, *work, "end"]
    assert [line["pass"] for line in told if line["event"] == "stage"] == [0, 1]


def test_a_failing_stage_is_told_once_and_raised(report: Report, capfd: Any) -> None:
    with pytest.raises(RuntimeError, match="no rows"), report.stage("source"):
        raise RuntimeError("no rows\n" + "x" * 9000)
    told = lines(capfd)
    assert [line["event"] for line in told] == ["begin", "stage_start", "error"]
    assert told[-1]["type"] == "RuntimeError"
    assert told[-1]["message"].startswith("no rows x")
    assert len(told[-1]["message"]) <= 500


def test_an_error_outside_a_stage_is_told_by_the_hook(report: Report, capfd: Any) -> None:
    error = ValueError("é")
    sys.excepthook(ValueError, error, None)
    captured = capfd.readouterr().out
    assert '"event":"error"' in captured
    assert captured.isascii()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("-inf")])
def test_numbers_that_are_none_are_refused(report: Report, value: float) -> None:
    with pytest.raises(ReportError, match="finite"):
        report.measure("auc", value)
    with pytest.raises(ReportError, match=r"quality\.vector|finite"):
        report.quality(vector=np.array([1.0, value]))


def test_unknown_stage_and_long_line_are_refused(report: Report, capfd: Any) -> None:
    with pytest.raises(ReportError, match="source, validate"), report.stage("fit"):
        pass
    with pytest.raises(ReportError, match=str(MAX_BYTES)):
        report.dataset("train", name="x" * MAX_BYTES)
    assert len(lines(capfd)) == 1


def test_quality_condenses_its_vector_and_fits_a_line(report: Report, capfd: Any) -> None:
    report.quality(objective=0.5, vector=np.linspace(-1e100, 1e-100, 100_000))
    vector = lines(capfd)[-1]["figures"]["vector"]
    assert vector["count"] == 100_000
    assert len(vector["projections"]) == 16


def test_artefact_is_hashed(report: Report, capfd: Any) -> None:
    def save(path: Path) -> None:
        path.write_bytes(b"abc")

    path = report.artefact("model", save, suffix=".bin")
    told = lines(capfd)[-1]
    assert path == report.folder / "model.bin"
    assert (told["path"], told["bytes"]) == ("model.bin", 3)
    assert told["sha256"] == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("{", "not JSON"),
        ("[]", "object is expected"),
        ("{}", "lacks run, params, datasets, folder"),
    ],
)
def test_bad_arguments_are_named(argument: str, message: str) -> None:
    with pytest.raises(ReportError, match=message):
        Report.read([argument])


@pytest.mark.parametrize("changes", [{"passes": 0}, {"passes": True}, {"stages": "lazy"}])
def test_bad_fields_are_named(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ReportError, match=next(iter(changes))):
        Report.read([job(tmp_path, **changes)])


def test_an_undeclared_metric_is_refused_with_the_manifest(report: Report, capfd: Any) -> None:
    with pytest.raises(ReportError, match=r"declared in workload.toml; add \[metrics.f1"):
        report.measure("f1", 0.5)
    report.measure("auc", [0.5, 0.75], item=3)
    report.measure("auc", histogram=([0.0, 0.5, 1.0], [3, 4]))
    told = lines(capfd)
    assert [line["event"] for line in told] == ["begin", "measure", "measure"]
    assert (told[1]["values"], told[1]["item"]) == ([0.5, 0.75], 3)
    assert told[2]["histogram"] == {"edges": [0.0, 0.5, 1.0], "counts": [3, 4]}
