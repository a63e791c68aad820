"""An environment that runs nothing: it proves the harness, and shows how small a kind is.

A cluster is an empty file with its owner in its name. A job sleeps ``sleep`` seconds and leaves
a workload log of ``serial + parallel / workers`` seconds, with noise seeded by the run's id.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Annotated

from bench import contracts
from bench.contracts import Facts, Finding, Outcome, OwnedResource
from bench.digests import digest
from bench.directories import work_root, work_roots
from bench.errors import LaunchFailed
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.results import Machine, MachineUse
from bench.records.study import EnvironmentSpec
from bench.run_files.workload_log import Events, lines
from bench.settings import KindSettings, setting

KIND = "fake"
MACHINE = Machine(digest=digest(KIND), cpu_model="none", cores=64, memory=1 << 38, os="none")
Number = Annotated[float, setting(keyed=True)]
Counts = Annotated[tuple[int, ...], setting(keyed=True)]  # of workers


class Settings(KindSettings, frozen=True, kw_only=True):
    """Runs on some worker counts fail or hang, clusters of some are refused; times in seconds."""

    serial: Number = 1.0
    parallel: Number = 8.0
    startup: Number = 0.5
    noise: Number = 0.02
    sleep: Number = 0.0
    objective: Number = 0.5
    capacity: Annotated[int, setting(keyed=True)] = 64
    fail_workers: Counts = ()
    hang_workers: Counts = ()
    refuse_workers: Counts = ()


class FakeEnvironment(contracts.Environment):
    kind = KIND

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.settings, self.folder = Settings.of(spec), work_root() / KIND

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        what = f"{spec.workers} workers are more than the capacity {self.settings.capacity}"
        over = Finding(severity="error", scope="cell", what=what, remedy="ask for fewer workers")
        return [over] if spec.workers > self.settings.capacity else []

    def open(self, spec: ClusterSpec, owner: Owner) -> contracts.Cluster:
        return FakeCluster(self.settings, spec, self.folder / f"{owner.mark}.{owner.study}")

    def owned(self) -> Iterable[OwnedResource]:
        for path in sorted(p for root in work_roots() for p in root.glob(f"{KIND}/*.*.*")):
            session, cluster, study = path.name.split(".", 2)
            owner = Owner(study=study, session=session, cluster=cluster)
            yield OwnedResource(owner, f"fake cluster {path.name}", partial(path.unlink, True))


class FakeCluster(contracts.Cluster, contracts.Adaptable):
    def __init__(self, settings: Settings, spec: ClusterSpec, file: Path) -> None:
        self.settings, self.file = settings, file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        self.adapt(spec)

    def adapt(self, spec: ClusterSpec) -> None:
        if spec.workers in self.settings.refuse_workers:
            self.close()
            raise LaunchFailed(f"the fake refuses to open {spec.workers} workers")
        uses = (MachineUse(machine=MACHINE.digest, role="worker", seconds=0.0),) * spec.workers
        phases = {"launch": self.settings.startup}
        self.facts = Facts(machines={MACHINE.digest: MACHINE}, uses=uses, phases=phases)

    def submit(self, job: Job) -> contracts.Execution:
        return FakeExecution(self.settings, job)

    def close(self) -> None:
        self.file.unlink(missing_ok=True)


class FakeExecution(contracts.Execution):
    def __init__(self, settings: Settings, job: Job) -> None:
        self.settings, self.job = settings, job
        self.failed = job.workers in settings.fail_workers
        sleep = inf if job.workers in settings.hang_workers else settings.sleep
        self.end = time.monotonic() + sleep

    def wait(self, timeout: float) -> bool:
        time.sleep(max(0.0, min(timeout, self.end - time.monotonic())))
        return time.monotonic() >= self.end

    def cancel(self) -> None:
        self.failed, self.end = self.failed or not self.wait(0.0), 0.0

    def collect(self, folder: Path) -> Outcome:
        noise = random.Random(self.job.run).lognormvariate(0.0, self.settings.noise)
        train = (self.settings.serial + self.settings.parallel / self.job.workers) * noise
        (log := folder / "rank-0.log").write_text("".join(lines(self.job.run, self._events(train))))
        return Outcome(
            status="failed" if self.failed else "ok",
            reason="the fake was told to fail" if self.failed else "",
            logs={0: log},
            machines=(MACHINE.digest,),
            seconds=self.settings.startup + train * self.job.passes,
        )

    def _events(self, train: float) -> Events:
        yield 0.0, "ready", {"workers": self.job.workers, "versions": {"fake": "1"}}
        for role, data in self.job.datasets.items():
            yield 0.0, "dataset", {"role": role, "digest": digest(data)}
        for number in range(self.job.passes):
            yield 0.0, "pass", {"pass": number}
            yield train, "stage", {"pass": number, "name": "train", "seconds": train}
        figures = {"objective": self.settings.objective, "converged": True}
        yield 0.0, "quality", {"figures": figures}
        if not self.failed:
            yield 0.0, "end", {}


build = FakeEnvironment
