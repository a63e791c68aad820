"""Both engines do the same work: run for real, they find the same model."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

WORKLOADS = Path(__file__).resolve().parents[2] / "workloads"
MARK = ":::BENCH "
PARAMS = {"tolerance": 1e-12, "max_iterations": 500, "regularization": 0.001}
DATA = {"name": "spark-perf", "rows": 5000, "features": 20, "noise": 0.2}
SECONDS = 280
METRICS = {  # name -> unit
    name: metric["unit"]
    for manifest in WORKLOADS.glob("*/workload.toml")
    for name, metric in tomllib.loads(manifest.read_text())["metrics"].items()
}

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]


def job(folder: Path, stages: str, **changes: object) -> str:
    fields: dict[str, object] = {
        "run": "n",
        "params": PARAMS | {"partitions": 0},
        "datasets": {"train": DATA},
        "metrics": METRICS,
        "passes": 2,
        "stages": stages,
        "folder": str(folder),
    }
    return json.dumps(fields | changes)


def environment(**changes: str) -> dict[str, str]:
    fixed = {"PYTHONPATH": str(WORKLOADS), "PYSPARK_PYTHON": sys.executable}
    return os.environ | fixed | {"SPARK_LOCAL_IP": "127.0.0.1"} | changes


def events(text: str) -> list[dict[str, Any]]:
    found = [line[line.index(MARK) + len(MARK) :] for line in text.splitlines() if MARK in line]
    told: list[dict[str, Any]] = [json.loads(line) for line in found]
    assert [line["seq"] for line in told] == list(range(len(told)))
    assert told[-1]["event"] == "end"
    return told


def one(told: list[dict[str, Any]], event: str) -> dict[str, Any]:
    chosen = [line for line in told if line["event"] == event]
    assert len(chosen) == 1
    return chosen[0]


def run_spark(folder: Path, stages: str) -> list[dict[str, Any]]:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        pytest.skip("pip install 'benchcast[spark]'")
    submit = Path(spec.origin).parent / "bin" / "spark-submit"
    command = [
        str(submit),
        "--master",
        "local[2]",
        "--conf",
        "spark.ui.enabled=false",
        "--conf",
        f"spark.local.dir={folder}",
        str(WORKLOADS / "spark-logistic-regression" / "main.py"),
        job(folder, stages),
    ]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return events(done.stdout)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def run_tensorflow(folder: Path, ranks: int) -> list[dict[str, Any]]:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("pip install 'benchcast[tensorflow]'")
    peers = [f"127.0.0.1:{port}" for port in free_ports(ranks)]
    main = str(WORKLOADS / "tensorflow-logistic-regression" / "main.py")
    running = []
    for rank in range(ranks):
        config = {"cluster": {"worker": peers}, "task": {"type": "worker", "index": rank}}
        argument = job(folder / str(rank), "fused", rank=rank)
        running.append(
            subprocess.Popen(
                [sys.executable, main, argument],
                env=environment(TF_CONFIG=json.dumps(config), BENCH_THREADS="1"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        told = [process.communicate(timeout=SECONDS) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * ranks, told[0][1][-2000:]
    found = [events(out) for out, _ in told]
    assert [lines[0]["rank"] for lines in found] == list(range(ranks))
    return found[0]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_spark(tmp_path_factory.mktemp("spark"), "fused")


def assert_same(told: list[dict[str, Any]], peer: list[dict[str, Any]]) -> None:
    mine, theirs = one(told, "dataset"), one(peer, "dataset")
    assert mine["digest"] == theirs["digest"]
    assert mine["moments"] == pytest.approx(theirs["moments"], rel=1e-9)
    quality, expected = one(told, "quality")["figures"], one(peer, "quality")["figures"]
    assert quality["converged"]
    assert expected["converged"]
    assert quality["objective"] == pytest.approx(expected["objective"], abs=1e-6)
    assert quality["auc"] == pytest.approx(expected["auc"], abs=1e-4)
    norm = expected["vector"]["norm"]
    assert quality["vector"]["projections"] == pytest.approx(
        expected["vector"]["projections"], abs=1e-3 * norm
    )


def test_staged_spark_finds_fused_sparks_model(spark: Any, tmp_path: Path) -> None:
    told = run_spark(tmp_path, "staged")
    assert_same(told, spark)
    stages = [line["name"] for line in told if line["event"] == "stage" and line["pass"] == 1]
    assert stages == ["source", "validate", "preprocess", "features", "train", "evaluate", "score"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_tensorflow_finds_sparks_model(spark: Any, tmp_path: Path, ranks: int) -> None:
    told = run_tensorflow(tmp_path, ranks)
    assert one(told, "ready")["workers"] == ranks
    assert_same(told, spark)
