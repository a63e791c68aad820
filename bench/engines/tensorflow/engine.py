"""TensorFlow: one process a worker, joined by TF_CONFIG; rank 0 is the chief, on worker 0.

Nothing runs before a job is submitted, and the driver's host is not used. A worker's memory is
not enforced: TensorFlow takes what it needs.
"""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contracts import Cluster, Facts, Finding, Host, MetricSource, Outcome
from bench.engines import execution
from bench.errors import MissingExtra
from bench.records.cluster import ClusterSpec, Job

BIND_TRIES = 3
BIND_SECONDS = 60.0  # a rank that could not bind says so this soon (importing takes 7 to 9 s)
_BIND = re.compile(
    r"address already in use|could not start grpc server|failed to bind|no address added", re.I
)


class TensorFlowEngine:
    """Starts TensorFlow's ranks on given hosts."""

    name = "tensorflow"

    def fits(self, need: ClusterSpec) -> Sequence[Finding]:
        """Find nothing: a worker's memory is not enforced."""
        return []

    def check(self, need: ClusterSpec) -> Sequence[Finding]:
        """Say whether TensorFlow is installed here."""
        if importlib.util.find_spec("tensorflow") is not None:
            return []
        gap = MissingExtra("tensorflow", "tensorflow")
        return [Finding(severity="error", scope="study", what=gap.what, remedy=gap.remedy)]

    def launch(self, driver: Host, workers: Sequence[Host], need: ClusterSpec) -> Cluster:
        """Return at once: TensorFlow has no engine to start before the job."""
        return TensorFlowCluster(workers, need)


class TensorFlowCluster(Cluster):
    """Worker hosts on which ranks are started, one job after the other."""

    def __init__(self, workers: Sequence[Host], need: ClusterSpec) -> None:
        """Keep the hosts; ``need.conf`` becomes the ranks' environment variables."""
        self.facts = Facts(phases={"launch": 0.0})
        self.need = need
        self.workers = list(workers)
        self._executions: list[TensorFlowExecution] = []

    def submit(self, job: Job) -> TensorFlowExecution:
        """Start all ranks."""
        execution_ = TensorFlowExecution(self, job)
        self._executions = [execution_]
        return execution_

    def sources(self) -> Sequence[MetricSource]:
        """TensorFlow brings no telemetry of its own."""
        return []

    def close(self) -> None:
        """Stop the job that still runs."""
        for running in self._executions:
            running.cancel()
        self._executions = []


class TensorFlowExecution:
    """The ranks of one job; ports that were taken meanwhile are replaced, at most twice."""

    def __init__(self, cluster: TensorFlowCluster, job: Job) -> None:
        """Bring the bundle to every worker and start the ranks."""
        self._cluster = cluster
        self._job = job
        self._tries = 1
        self._meter = execution.Meter(cluster.workers)
        self._begun = time.monotonic()
        self._entries = [execution.put_bundle(host, job) for host in cluster.workers]
        self._ranks = self._start()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, line) as it comes."""
        return self._ranks.lines()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until every rank has ended."""
        deadline = time.monotonic() + timeout
        while self._ranks.wait(max(0.0, deadline - time.monotonic())):
            if not self._could_not_bind():
                return True
            self._tries += 1
            self._ranks = self._start()
        return False

    def cancel(self) -> None:
        """Stop all ranks, and return when they are gone."""
        self._ranks.cancel()

    def collect(self, folder: Path) -> Outcome:
        """Bring the logs by rank, the chief's artefacts and each host's figures."""
        missing: list[str] = []
        logs: dict[int, Path] = {}
        for number, rank in enumerate(self._ranks.ranks):
            target = folder / f"rank-{number}.log"
            if execution.fetch(rank.host, rank.process.output, target, missing):
                logs[number] = target
        for name in execution.artefacts(logs[0]) if 0 in logs else []:
            chief = self._cluster.workers[0]
            source = execution.scratch(chief, self._job) / name
            execution.fetch(chief, source, folder / "artefacts" / name, missing)
        outcome = self._ranks.outcome(logs, missing)
        outcome.seconds += self._ranks.started - self._begun
        outcome.worker_cpu = self._meter.cpu()
        outcome.events = execution.events(self._meter.marks())
        return outcome

    def _start(self) -> execution.Ranks:
        hosts = self._cluster.workers
        addresses = [f"{host.address}:{host.free_ports(1)[0]}" for host in hosts]
        ranks: list[execution.Rank] = []
        try:
            for number, host in enumerate(hosts):
                ranks.append(self._spawn(number, host, addresses))
        except BaseException:
            execution.Ranks(ranks).kill()
            raise
        return execution.Ranks(ranks)

    def _spawn(self, number: int, host: Host, addresses: list[str]) -> execution.Rank:
        entry, bundle = self._entries[number]
        cores = self._cluster.need.worker.cores
        joined = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        env = {
            **execution.threads(cores),
            "TF_NUM_INTRAOP_THREADS": str(cores),
            "TF_NUM_INTEROP_THREADS": str(cores),
            "TF_CONFIG": json.dumps(joined),
            "PYTHONPATH": str(bundle),
            "PYTHONUNBUFFERED": "1",
            **self._cluster.need.conf,
        }
        argv = [host.python, str(entry), execution.argument(host, self._job, number)]
        name = f"{self._job.run}/rank-{number}"
        return execution.Rank(host=host, process=host.spawn(name, argv, env))

    def _could_not_bind(self) -> bool:
        """Whether the ranks should be started again on other ports."""
        ranks = self._ranks
        if ranks.failed is None or ranks.cancelled or self._tries >= BIND_TRIES:
            return False
        if (ranks.ended or 0.0) - ranks.started > BIND_SECONDS:
            return False
        if ranks.lost:
            return False
        logs = (rank.process.read().decode(errors="replace") for rank in ranks.ranks)
        return any(_BIND.search(log) for log in logs)
