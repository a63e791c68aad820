"""Spark on hosts whose interpreters lie at different paths: each executor runs its own host's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.engines.spark.standalone import Standalone
from bench.environments.ssh.provider import Entry, SshProvider
from bench.records.cluster import ClusterSpec, Owner
from bench.records.study import Shape
from tests.hosts import sshd

pytest.importorskip("asyncssh", reason="pip install 'benchcast[ssh]'")
pytest.importorskip("pyspark", reason="pip install 'benchcast[spark]'")
pytestmark = [pytest.mark.alone, pytest.mark.real]

OWNER = Owner(study="pythons", session="20260101T000000-python", cluster="c1")
ASK = """
import sys, time
from pyspark import SparkContext
context = SparkContext()
def ask(_):
    import sys, time
    time.sleep(1)
    return sys.executable
print("FOUND", sorted(set(context.parallelize(range(8), 8).map(ask).collect())), flush=True)
context.stop()
"""


def another(folder: Path) -> Path:
    """Return this interpreter under another path, with the same packages."""
    home = Path(sys.executable).parents[1]
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (folder / "lib").symlink_to(home / "lib")
    (folder / "pyvenv.cfg").write_text((home / "pyvenv.cfg").read_text())
    return folder / "bin" / "python"


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="run the tests in a venv: make setup")
def test_each_executor_runs_its_own_host_s_interpreter(tmp_path: Path) -> None:
    other = another(tmp_path / "it's there")
    with sshd.running(tmp_path / "sshd") as server:
        one = server.address(name="127.0.0.1")
        two = server.address(name="127.0.0.2", python=str(other))
        inventory = SshProvider([Entry(address=one), Entry(address=two)])
        need = ClusterSpec(engine="spark", workers=2, worker=Shape(memory=1 << 30), driver=Shape())
        driver, *workers = inventory.scale([], need, OWNER)
        try:
            spark = Standalone(driver, workers, need)
            (tmp_path / "ask.py").write_text(ASK)
            script = driver.put(tmp_path / "ask.py", "ask.py")
            submit = spark.home(driver).spark / "bin" / "spark-submit"
            argv = ["bash", str(submit), "--master", spark.url, "--conf", "spark.cores.max=2"]
            argv += ["--conf", "spark.executor.cores=1", "--conf", "spark.executor.memory=500m"]
            argv += ["--conf", "spark.scheduler.minRegisteredResourcesRatio=1.0", str(script)]
            process = driver.spawn("ask", argv, spark.environment(driver))
            assert process.wait(120) == 0, process.read().decode()[-2000:]
            (told,) = [line for line in process.read().decode().splitlines() if "FOUND" in line]
            assert told == f"FOUND {sorted([sys.executable, str(other)])}"
            spark.stop()
        finally:
            inventory.release([driver, *workers])
            inventory.close()
