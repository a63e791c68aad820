"""An environment that simulates runs: it tests the harness, and shows how small a kind is."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated

from bench import contracts
from bench.digests import digest
from bench.directories import work_root, work_roots
from bench.errors import LaunchFailed
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.results import Machine, MachineUse
from bench.records.study import EnvironmentSpec
from bench.run_files.workload_log import Events, lines
from bench.settings import KindSettings, setting

MACHINE = Machine(digest=digest("fake"), cpu_model="none", cores=64, memory=1 << 38, os="none")
Number = Annotated[float, setting(keyed=True)]
Counts = Annotated[tuple[int, ...], setting(keyed=True)]  # of workers


class Settings(KindSettings, frozen=True, kw_only=True):
    """A run sleeps, and logs ``serial + parallel / workers`` seconds with some noise."""

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
    kind = "fake"

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.settings, self.folder = Settings.of(spec), work_root() / KIND

    def check(self, spec: ClusterSpec) -> Sequence[contracts.Finding]:
        what = f"{spec.workers} workers are more than the capacity {self.settings.capacity}"
        over = contracts.Finding(severity="error", scope="cell", what=what, remedy="use fewer")
        return [over] if spec.workers > self.settings.capacity else []

    def open(self, spec: ClusterSpec, owner: Owner) -> contracts.Cluster:
        return FakeCluster(self.settings, spec, self.folder / owner.text.replace("/", "."))

    def owned(self) -> Iterable[contracts.OwnedResource]:
        for path in sorted(p for root in work_roots() for p in root.glob(f"{KIND}/*.*.*")):
            owner, name = Owner.from_text("/".join(path.name.rsplit(".", 2))), path.name
            yield contracts.OwnedResource(owner, f"fake cluster {name}", partial(path.unlink, True))


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
        self.facts = contracts.Facts(machines={MACHINE.digest: MACHINE}, uses=uses, phases=phases)

    def submit(self, job: Job) -> contracts.Execution:
        return FakeExecution(self.settings, job)

    def close(self) -> None:
        self.file.unlink(missing_ok=True)


class FakeExecution(contracts.Execution):
    def __init__(self, settings: Settings, job: Job) -> None:
        self.settings, self.job = settings, job
        self.failed = job.workers in settings.fail_workers
        self.end = 1e9 if job.workers in settings.hang_workers else monotonic() + settings.sleep

    def wait(self, timeout: float) -> bool:
        sleep(max(0.0, min(timeout, self.end - monotonic())))
        return monotonic() >= self.end

    def cancel(self) -> None:
        self.failed, self.end = self.failed or not self.wait(0.0), 0.0

    def collect(self, folder: Path) -> contracts.Outcome:
        noise = random.Random(self.job.run).lognormvariate(0.0, self.settings.noise)
        train = (self.settings.serial + self.settings.parallel / self.job.workers) * noise
        (log := folder / "rank-0.log").write_text("".join(lines(self.job.run, self._events(train))))
        return contracts.Outcome(
            status="failed" if self.failed else "ok",
            reason="the study asks for this failure" if self.failed else "",
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
        yield 0.0, "quality", {"figures": {"objective": self.settings.objective, "converged": True}}
        yield from () if self.failed else ((0.0, "end", {}),)


KIND, build = FakeEnvironment.kind, FakeEnvironment
