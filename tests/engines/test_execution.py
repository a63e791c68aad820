"""What both engines share, and TensorFlow's ranks played by small scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.contracts import Cluster
from bench.engines import logs
from bench.engines.tensorflow.engine import TensorFlowEngine
from bench.environments.host_environment import HostEnvironment
from bench.environments.local.provider import LocalProvider
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.study import Dataset, Shape
from tests.hosts.providers import NoQuotas

# Marked processes are looked for on the whole machine: these tests would see each other's.
pytestmark = pytest.mark.alone

GIB = 1 << 30
OWNER = Owner(study="ranks", session="20260101T000000-ranks0", cluster="c1")
HEAD = """
import json, os, sys, time
from pathlib import Path
job, config = json.loads(sys.argv[1]), json.loads(os.environ["TF_CONFIG"])
rank = config["task"]["index"]
folder = Path(job["folder"])
folder.mkdir(parents=True, exist_ok=True)
print("hello from", rank)
"""


def test_the_last_error_names_no_folder(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "26/01/01 ERROR Executor: first\n"
        "Traceback (most recent call last):\n"
        '  File "/home/someone/main.py", line 3\n'
        "FileNotFoundError: no such file: '/home/someone/data.csv' at http://a.example/b/c\n"
        ':::BENCH {"event":"error","type":"FileNotFoundError"}\n'
        "26/01/01 INFO ShutdownHookManager: bye\n"
    )
    assert logs.last_error(log) == (
        "FileNotFoundError: no such file: '.../data.csv' at http://a.example/b/c"
    )
    log.write_text("first\nlast words\n")
    assert logs.last_error(log) == "last words"
    assert logs.last_error(tmp_path / "none") == ""


def test_artefacts_stay_below_the_folder(tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = [{"event": "artefact", "path": path} for path in ("model.npy", "../x", "/etc/x", "..")]
    told.append({"event": "stage", "path": "artefact"})
    torn = ':::BENCH {"event":"artefact","pa\n'
    log.write_text("".join(f"x :::BENCH {json.dumps(line)}\n" for line in told) + torn)
    assert logs.artefacts(log) == ["model.npy"]


def test_long_logs_keep_their_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a" * 300_000 + "end")
    logs.cut(log)
    assert log.read_text().endswith("aend")
    assert log.stat().st_size < 200_100


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two workers of the TensorFlow engine, without control groups."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    provider = LocalProvider(NoQuotas())
    place = HostEnvironment(provider, {"tensorflow": TensorFlowEngine()})
    need = ClusterSpec(engine="tensorflow", workers=2, worker=Shape(cores=2), driver=Shape())
    with place.open(need, OWNER) as opened:
        yield opened
    assert [left for left in provider.owned() if left.owner == OWNER] == []


def job(tmp_path: Path, body: str) -> Job:
    """A job whose main.py is ``body``."""
    main = tmp_path / "main.py"
    main.write_text(HEAD + body)
    return Job(
        run="r1",
        engine="tensorflow",
        entry="main.py",
        bundle={"main.py": str(main)},
        params={"a": 1},
        datasets={"train": Dataset(name="synthetic", generator="spark-perf", params={"rows": 10})},
        workers=2,
        passes=1,
        stages="fused",
        timeout=60,
    )


def test_ranks_get_the_job_and_their_logs_come_back(cluster: Cluster, tmp_path: Path) -> None:
    body = """
print(json.dumps(job, sort_keys=True), os.environ["BENCH_THREADS"], config["cluster"]["worker"])
if rank == 0:
    (folder / "model.npy").write_text("model")
    print(':::BENCH {"event":"artefact","path":"model.npy"}')
"""
    running = cluster.submit(job(tmp_path, body))
    told = list(running.lines())
    assert running.wait(60)
    outcome = running.collect(tmp_path / "out")
    assert (outcome.status, outcome.reason, outcome.missing) == ("ok", "", ())
    assert sorted(outcome.logs) == [0, 1]
    assert {rank for rank, _ in told} == {0, 1}
    text = outcome.logs[1].read_text()
    assert "hello from 1" in text
    data = '{"generator": "spark-perf", "name": "synthetic", "rows": 10}'
    assert f'"datasets": {{"train": {data}}}' in text
    assert '"rank": 1' in text
    assert "} 2 ['127.0.0.1:" in text
    assert (tmp_path / "out" / "artefacts" / "model.npy").read_text() == "model"
    assert outcome.worker_cpu is not None
    assert outcome.seconds > 0
    assert len(outcome.machines) == 2


def test_a_failed_rank_cancels_its_peers_and_is_named(cluster: Cluster, tmp_path: Path) -> None:
    body = "if rank == 1: raise ValueError('no such column')\ntime.sleep(60)"
    running = cluster.submit(job(tmp_path, body))
    assert running.wait(50)
    outcome = running.collect(tmp_path / "out")
    assert outcome.status == "failed"
    assert outcome.reason == "rank 1 of 2 ended with exit code 1: ValueError: no such column"
    assert outcome.seconds < 40


def test_ports_that_were_taken_are_replaced(cluster: Cluster, tmp_path: Path) -> None:
    body = f"""
ports = Path({str(tmp_path / "ports")!r})
if rank == 0:
    tried = ports.read_text().splitlines() if ports.exists() else []
    ports.write_text("\\n".join([*tried, config["cluster"]["worker"][0]]))
    if len(tried) < 2:
        sys.exit("UnknownError: Could not start gRPC server")
"""
    running = cluster.submit(job(tmp_path, body))
    assert running.wait(60)
    outcome = running.collect(tmp_path / "out")
    assert outcome.status == "ok"
    assert len(set((tmp_path / "ports").read_text().splitlines())) == 3
    assert outcome.seconds > 0


def test_a_cancelled_job_is_gone_and_keeps_its_logs(cluster: Cluster, tmp_path: Path) -> None:
    running = cluster.submit(job(tmp_path, "sys.stdout.flush()\ntime.sleep(60)"))
    assert not running.wait(0.5)
    started = time.monotonic()
    running.cancel()
    running.cancel()
    assert time.monotonic() - started < 20
    assert running.wait(0)
    outcome = running.collect(tmp_path / "out")
    assert (outcome.status, outcome.reason) == ("failed", "cancelled")
    assert sorted(outcome.logs) == [0, 1]
