"""Real Spark and TensorFlow on this machine through the local environment."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest

from bench.contracts import Adaptable, Cluster, Environment
from bench.environments import build
from bench.hosts.agent import processes
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.study import Dataset, EnvironmentSpec, Shape

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

GIB = 1 << 30
SPARK = """
import json, os, sys
from pyspark.sql import SparkSession
from _common.names import NAME
job = json.loads(sys.argv[1])
spark = SparkSession.builder.getOrCreate()
conf = spark.sparkContext.getConf()
print("EXECUTORS", len(spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) - 1)
print("SUM", spark.range(1000).repartition(4).groupBy().sum("id").collect()[0][0], NAME)
if job["params"].get("fail"):
    raise ValueError("asked to fail")
if job["params"].get("hang"):
    spark.sparkContext.parallelize(range(2), 2).map(lambda _: __import__("time").sleep(300)).count()
spark.stop()
"""
TENSORFLOW = """
import json, os, sys
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
print("REPLICAS", strategy.num_replicas_in_sync, os.environ["BENCH_THREADS"])
with strategy.scope():
    one = tf.constant(1.0)
total = strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", one))
print("SUM", float(total))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """The local environment in a temporary folder of its own; nothing may be left there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = {name for name in os.listdir("/tmp") if name.startswith(("spark-", "hsperfdata"))}
    local = build(EnvironmentSpec(name="here", kind="local"))
    yield local
    assert [left.text for left in local.owned() if left.owner.study == "real"] == []
    after = {name for name in os.listdir("/tmp") if name.startswith("spark-")}
    assert after <= before


def job(folder: Path, run: str, engine: str, workers: int, **params: bool) -> Job:
    """A tiny job of the engine."""
    main, names = folder / f"{engine}.py", folder / "names.py"
    main.write_text(SPARK if engine == "spark" else TENSORFLOW)
    names.write_text("NAME = 'from the bundle'\n")
    return Job(
        run=run,
        engine=engine,
        entry="main.py",
        bundle={"main.py": str(main), "_common/names.py": str(names)},
        params=params,
        datasets={"train": Dataset(name="none")},
        workers=workers,
        passes=1,
        stages="fused",
        timeout=300,
    )


def need(engine: str, workers: int) -> ClusterSpec:
    """Workers of one core; Spark's memory leaves its least heap."""
    return ClusterSpec(engine=engine, workers=workers, worker=Shape(memory=GIB), driver=Shape())


def owner(name: str) -> Owner:
    """An owner of this test."""
    return Owner(study="real", session=f"20260101T000000-{name}", cluster="c1")


def test_spark_on_one_and_two_workers(place: Environment, tmp_path: Path) -> None:
    with place.open(need("spark", 1), owner("spark")) as cluster:
        for workers in (1, 2):
            if workers == 2:
                assert isinstance(cluster, Adaptable)
                cluster.adapt(need("spark", 2))
            assert cluster.facts.phases["launch"] > 0
            running = cluster.submit(job(tmp_path, f"run{workers}", "spark", workers))
            assert running.wait(240)
            out = tmp_path / f"out{workers}"
            outcome = running.collect(out)
            assert (outcome.status, outcome.reason, outcome.missing) == ("ok", "", ())
            log = outcome.logs[0].read_text()
            assert f"EXECUTORS {workers}" in log
            assert "SUM 499500 from the bundle" in log
            with pyarrow.input_stream(out / "spark-events.zstd", compression="zstd") as events:
                first = events.read().splitlines()[0]
            assert json.loads(first)["Event"] == "SparkListenerLogStart"
            assert len(list((out / "executors").glob("worker-*/*/stderr"))) == workers
            assert len(outcome.machines) == workers
            assert outcome.worker_cpu is not None
            assert outcome.worker_cpu > 0
            assert outcome.events == ()


def test_spark_failures(place: Environment, tmp_path: Path) -> None:
    with place.open(need("spark", 1), owner("fails")) as cluster:
        failing = cluster.submit(job(tmp_path, "fail", "spark", 1, fail=True))
        assert failing.wait(240)
        outcome = failing.collect(tmp_path / "fail")
        assert outcome.reason == "the driver ended with exit code 1: ValueError: asked to fail"
        hanging = cluster.submit(job(tmp_path, "hang", "spark", 1, hang=True))
        assert not hanging.wait(10)
        hanging.cancel()
        outcome = hanging.collect(tmp_path / "hang")
        assert (outcome.status, outcome.reason) == ("failed", "cancelled")
        orphan = cluster.submit(job(tmp_path, "orphan", "spark", 1, hang=True))
        assert not orphan.wait(5)
        kill_daemon("org.apache.spark.deploy.master.Master", owner("fails"))
        assert orphan.wait(60)
        outcome = orphan.collect(tmp_path / "orphan")
        assert (outcome.status, outcome.reason) == ("failed", "the Spark master died")


def kill_daemon(name: str, whose: Owner) -> None:
    """Kill the process of this owner whose command line holds ``name``."""
    mark = {processes.OWNER: f"{whose.study}/{whose.session}/{whose.cluster}"}
    for pid, _ in processes.scan(mark):
        if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"no {name}")


@pytest.mark.parametrize("workers", [1, 2])
def test_tensorflow(place: Environment, tmp_path: Path, workers: int) -> None:
    cluster: Cluster
    with place.open(need("tensorflow", workers), owner(f"tf{workers}")) as cluster:
        running = cluster.submit(job(tmp_path, "run", "tensorflow", workers))
        assert running.wait(240)
        outcome = running.collect(tmp_path / "out")
    assert (outcome.status, outcome.reason) == ("ok", "")
    assert sorted(outcome.logs) == list(range(workers))
    for log in outcome.logs.values():
        assert f"REPLICAS {workers} 1" in log.read_text()
        assert f"SUM {float(workers)}" in log.read_text()
