"""Spark applications on a Standalone cluster: submit, follow, collect."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.contracts import Execution, Outcome
from bench.engines import jobs, logs
from bench.engines.meter import Meter
from bench.engines.ranks import Rank, Ranks
from bench.engines.spark import application
from bench.engines.spark.standalone import Standalone
from bench.ids import utc_now
from bench.records import spark_log
from bench.records.cluster import Job
from bench.records.results import RunEvent
from bench.text import redact

_LOST = re.compile(r"Lost executor (\S+) on [^:]+: (.*)")


class SparkExecution(Execution):
    """One application: a driver, and one executor on each worker."""

    def __init__(self, standalone: Standalone, job: Job) -> None:
        """Copy the bundle to the driver's host and start spark-submit."""
        self._standalone = standalone
        self._job = job
        self._broken = ""
        host = standalone.driver
        self._meter = Meter(standalone.hosts)
        began = time.monotonic()
        entry, bundle = jobs.put_bundle(host, job)
        host.run(["mkdir", "-p", str(host.folder / job.run / "events")])
        command, variables = self._command(entry), self._environment(bundle)
        process = host.spawn(f"{job.run}/driver", command, variables)
        self._ranks = Ranks([Rank(host=host, process=process)])
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
        """Stop the driver; the executors end by themselves or with their workers."""
        self._ranks.cancel()

    def collect(self, folder: Path) -> Outcome:
        """Copy the driver's log, the event log, artefacts and the executors' logs."""
        settled = self._standalone.settle()
        missing: list[str] = []
        target = folder / "driver.log"
        rank = self._ranks.ranks[0]
        log = target if jobs.fetch(rank.host, rank.process.output, target, missing) else None
        cpu, events = self._meter.cpu(), [*self._meter.events(), *self._losses(log, settled)]
        self._copy_files(folder, log, missing)
        outcome = self._ranks.outcome({} if log is None else {0: log}, missing)
        return msgspec.structs.replace(
            outcome,
            reason=self._broken or outcome.reason,
            machines=tuple(host.machine().digest for host in self._standalone.hosts),
            worker_cpu=cpu,
            events=tuple(events),
        )

    def _copy_files(self, folder: Path, log: Path | None, missing: list[str]) -> None:
        """Copy artefacts, event log and executors' logs."""
        host = self._standalone.driver
        for name in logs.artefacts(log) if log is not None else []:
            source = jobs.scratch(host, self._job) / name
            jobs.fetch(host, source, folder / "artefacts" / name, missing)
        events = folder / "events"
        if not jobs.fetch(host, host.folder / self._job.run / "events", events, missing):
            return
        files = [file for file in events.iterdir() if not file.name.startswith(".")]
        if not files:
            missing.append("event log: the application did not start")
        for file in files[:1]:
            application = file.name.removesuffix(".inprogress")
            pack(file, folder / spark_log.FILE)
            self._executors(folder, application, missing)
        for file in events.iterdir():
            file.unlink()
        events.rmdir()

    def _executors(self, folder: Path, application: str, missing: list[str]) -> None:
        """Keep the ends of the executors' logs and delete their other files."""
        for number, host in enumerate(self._standalone.hosts):
            target = folder / "executors" / f"worker-{number}"
            if not jobs.fetch(host, host.folder / "work" / application, target, missing):
                continue
            for file in [path for path in target.rglob("*") if not path.is_dir()]:
                if file.name == "stderr":
                    logs.cut(file)
                else:
                    file.unlink()

    def _losses(self, log: Path | None, settled: bool) -> list[RunEvent]:
        """Return events for lost workers and executors, and for executors that did not end."""
        events = [("worker lost", text) for text in self._standalone.lost()]
        if not settled:
            events.append(("unsettled", "executors still ran after the driver had ended"))
        text = "" if log is None else log.read_text(errors="replace")
        matches = filter(None, map(_LOST.search, text.splitlines()))
        events += [
            ("executor lost", redact(f"executor {match[1]}: {match[2]}")) for match in matches
        ]
        now = utc_now()
        return [RunEvent(at=now, kind=kind, text=text) for kind, text in dict.fromkeys(events)]

    def _environment(self, bundle: Path) -> dict[str, str]:
        host, spec = self._standalone.driver, self._standalone.spec
        return {
            **self._standalone.environment(host),
            **jobs.threads(spec.driver.cores),
            "PYTHONPATH": str(bundle),
            "PYTHONUNBUFFERED": "1",
        }

    def _command(self, entry: Path) -> list[str]:
        host, spec, job = self._standalone.driver, self._standalone.spec, self._job
        temporary = str(host.folder / "tmp")
        storage = application.Storage(
            events=(host.folder / job.run / "events").as_uri(),
            warehouse=str(host.folder / job.run / "warehouse"),
            temporary=temporary,
        )
        platform = application.on_standalone(spec, host.address, temporary)
        settings = application.conf(spec, job, storage, platform)
        argument = jobs.argument(job, 0, str(jobs.scratch(host, job)))
        submit = self._standalone.home(host).spark / "bin" / "spark-submit"
        words = application.arguments(self._standalone.url, settings, str(entry), argument)
        return ["bash", str(submit), *words]


def pack(source: Path, target: Path) -> None:
    """Compress a file with zstd (Spark's history server reads that too) and delete it.

    An event log repeats itself: 9 MB become 0.2 MB in 0.01 s of CPU.
    """
    import pyarrow

    with source.open("rb") as plain, pyarrow.CompressedOutputStream(str(target), "zstd") as packed:
        shutil.copyfileobj(plain, packed)
    source.unlink()
