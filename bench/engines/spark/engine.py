"""Spark on given hosts: a Standalone cluster, and jobs submitted to it.

A worker's ``memory`` is the executor's container: the heap is what Spark itself would leave of
it on YARN or Kubernetes (``execution.heap``), and the Standalone worker offers exactly that, so
that one executor fills one worker. ``cores`` are the executor's task slots and the processors
that its JVM sees.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.contracts import Cluster, Facts, Finding, Host, MetricSource, Outcome
from bench.engines import execution
from bench.engines.spark import java
from bench.engines.spark.standalone import Standalone
from bench.errors import MissingExtra
from bench.records import spark_log
from bench.records.cluster import ClusterSpec, Job
from bench.records.study import Shape
from bench.text import redact

LEAST_HEAP = 450  # MiB: Spark refuses less
_JVM = "-XX:-UsePerfData"  # no files of it in the machine's temporary folder
_LOST = re.compile(r"Lost executor (\S+) on [^:]+: (.*)")
_APPENDED = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")


class SparkEngine:
    """Starts Spark Standalone clusters."""

    name = "spark"

    def fits(self, need: ClusterSpec) -> Sequence[Finding]:
        """Say what lacks memory for Spark's least heap."""
        return [
            finding
            for role, shape in (("worker", need.worker), ("driver", need.driver))
            if (finding := _small(role, shape)) is not None
        ]

    def check(self, need: ClusterSpec) -> Sequence[Finding]:
        """Say what is missing: pyspark, a Java, memory for Spark's least heap."""
        findings = list(self.fits(need))
        if importlib.util.find_spec("pyspark") is None:
            gap = MissingExtra("pyspark", "spark")
            what, remedy = gap.what, gap.remedy
            findings.append(Finding(severity="error", scope="study", what=what, remedy=remedy))
        found, passed = java.find()
        if found is None:
            tried = f" ({'; '.join(passed)})" if passed else ""
            what = f"Spark needs Java {java.MINIMUM} or newer and none was found{tried}"
            remedy = java.REMEDY
            findings.append(Finding(severity="error", scope="study", what=what, remedy=remedy))
        return findings

    def launch(self, driver: Host, workers: Sequence[Host], need: ClusterSpec) -> Cluster:
        """Start a master and one worker a host: whole, or undone and LaunchFailed."""
        began = time.monotonic()
        cluster = SparkCluster(Standalone(driver, workers, need))
        cluster.facts = Facts(phases={"launch": time.monotonic() - began})
        return cluster


def _small(role: str, shape: Shape) -> Finding | None:
    left = execution.heap(shape.memory)
    if left >= LEAST_HEAP:
        return None
    least = LEAST_HEAP + execution.LEAST_OVERHEAD // execution.MIB
    return Finding(
        severity="error",
        scope="cell",
        what=f"{role}.memory = {shape.memory // execution.MIB} MiB leaves a heap of {left} MiB;"
        f" Spark needs {LEAST_HEAP} MiB",
        remedy=f"give the {role} at least {least} MiB",
    )


class SparkCluster(Cluster):
    """A Standalone cluster that is up; each job is an application of its own."""

    def __init__(self, standalone: Standalone) -> None:
        """Wrap running daemons."""
        self.facts = Facts()
        self.standalone = standalone
        self._running: SparkExecution | None = None

    def submit(self, job: Job) -> SparkExecution:
        """Start the job's driver on the driver's host."""
        self._running = SparkExecution(self.standalone, job)
        return self._running

    def sources(self) -> Sequence[MetricSource]:
        """Spark's figures come from its event log, which ``collect`` brings."""
        return []

    def close(self) -> None:
        """End the job that still runs, and the daemons."""
        running, self._running = self._running, None
        try:
            if running is not None:
                running.end()
        finally:
            self.standalone.stop()


class SparkExecution:
    """One application: its driver here, one executor on each worker."""

    def __init__(self, standalone: Standalone, job: Job) -> None:
        """Bring the bundle to the driver's host and start spark-submit."""
        self._standalone = standalone
        self._job = job
        self._broken = ""
        host = standalone.driver
        self._meter = execution.Meter(standalone.hosts)
        began = time.monotonic()
        self._entry, bundle = execution.put_bundle(host, job)
        host.run(["mkdir", "-p", str(host.folder / job.run / "events")])
        process = host.spawn(f"{job.run}/driver", self._command(), self._environment(bundle))
        self._ranks = execution.Ranks([execution.Rank(host=host, process=process)])
        self._ranks.started = began

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (0, line) of the driver's log as it comes."""
        return self._ranks.lines()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until the driver has ended; a dead cluster ends it."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if self._ranks.wait(max(0.0, min(1.0, left))):
                return True
            self._broken = self._standalone.broken()
            if self._broken:
                self._ranks.cancel()
                return True
            if left <= 1.0:
                return False

    def cancel(self) -> None:
        """Stop the driver; returns when its executors are gone too."""
        self.end()
        self._standalone.settle()

    def end(self) -> None:
        """Stop the driver; the executors follow by themselves or with their workers."""
        self._ranks.cancel()

    def collect(self, folder: Path) -> Outcome:
        """Bring the driver's log, the event log, artefacts and the executors' logs."""
        settled = self._standalone.settle()
        missing: list[str] = []
        target = folder / "driver.log"
        rank = self._ranks.ranks[0]
        fetched = execution.fetch(rank.host, rank.process.output, target, missing)
        logs = {0: target} if fetched else {}
        outcome = self._ranks.outcome(logs, missing)
        outcome.reason = self._broken or outcome.reason
        outcome.worker_cpu = self._meter.cpu()
        outcome.machines = tuple(host.machine().digest for host in self._standalone.hosts)
        outcome.events = execution.events([*self._meter.marks(), *self._marks(logs, settled)])
        self._bring(folder, logs, missing)
        outcome.missing = tuple(missing)
        return outcome

    def _bring(self, folder: Path, logs: Mapping[int, Path], missing: list[str]) -> None:
        """Copy what lies beside the driver's log."""
        host = self._standalone.driver
        for name in execution.artefacts(logs[0]) if logs else []:
            source = execution.scratch(host, self._job) / name
            execution.fetch(host, source, folder / "artefacts" / name, missing)
        events = folder / "events"
        if not execution.fetch(host, host.folder / self._job.run / "events", events, missing):
            return
        files = [file for file in events.iterdir() if not file.name.startswith(".")]
        if not files:
            missing.append("event log: the application did not start")
        for file in files[:1]:
            application = file.name.removesuffix(".inprogress")
            execution.pack(file, folder / spark_log.FILE)
            self._executors(folder, application, missing)
        for file in events.iterdir():
            file.unlink()
        events.rmdir()

    def _executors(self, folder: Path, application: str, missing: list[str]) -> None:
        """Keep the ends of the executors' logs; what else lies in their folders is not kept."""
        for number, host in enumerate(self._standalone.hosts):
            target = folder / "executors" / f"worker-{number}"
            if not execution.fetch(host, host.folder / "work" / application, target, missing):
                continue
            for file in [path for path in target.rglob("*") if not path.is_dir()]:
                if file.name == "stderr":
                    execution.cut(file)
                else:
                    file.unlink()

    def _marks(self, logs: Mapping[int, Path], settled: bool) -> list[tuple[str, str]]:
        marks = [("worker lost", text) for text in self._standalone.lost()]
        if not settled:
            marks.append(("unsettled", "executors still ran after the driver had ended"))
        for line in logs[0].read_text(errors="replace").splitlines() if logs else []:
            if found := _LOST.search(line):
                text = redact(f"executor {found[1]}: {found[2]}")
                marks.append(("executor lost", text))
        return list(dict.fromkeys(marks))

    def _environment(self, bundle: Path) -> dict[str, str]:
        host, need = self._standalone.driver, self._standalone.need
        return {
            **self._standalone.environment(host),
            **execution.threads(need.driver.cores),
            "PYTHONPATH": str(bundle),
            "PYTHONUNBUFFERED": "1",
        }

    def _command(self) -> list[str]:
        submit = self._standalone.home(self._standalone.driver).spark / "bin" / "spark-submit"
        command = ["bash", str(submit), "--master", self._standalone.url]
        for name, value in self._configuration().items():
            command += ["--conf", f"{name}={value}"]
        host = self._standalone.driver
        return [*command, str(self._entry), execution.argument(host, self._job, 0)]

    def _configuration(self) -> dict[str, str]:
        """Return Spark's settings: ours, then the user's on top (JVM options are joined)."""
        host, need = self._standalone.driver, self._standalone.need
        own = {
            "spark.app.name": f"benchcast-{self._job.run}",
            "spark.submit.deployMode": "client",
            "spark.executor.cores": str(need.worker.cores),
            "spark.executor.memory": f"{execution.heap(need.worker.memory)}m",
            "spark.cores.max": str(need.worker.cores * need.workers),
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
            "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
            "spark.driver.memory": f"{execution.heap(need.driver.memory)}m",
            "spark.driver.host": host.address,
            "spark.driver.bindAddress": host.address,
            "spark.sql.adaptive.enabled": "false",
            "spark.sql.warehouse.dir": f"{host.folder / self._job.run / 'warehouse'}",
            "spark.local.dir": f"{host.folder / 'tmp'}",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"{(host.folder / self._job.run / 'events').as_uri()}",
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            # An executor works in a folder of its own, which "." is.
            _APPENDED[0]: f"{_jvm(need.driver.cores)} -Djava.io.tmpdir={host.folder / 'tmp'}",
            _APPENDED[1]: f"{_jvm(need.worker.cores)} -Djava.io.tmpdir=.",
        }
        joined = {n: f"{own[n]} {need.conf[n]}" for n in _APPENDED if n in need.conf}
        return {**own, **need.conf, **joined}


def _jvm(cores: int) -> str:
    return f"{_JVM} -XX:ActiveProcessorCount={cores}"
