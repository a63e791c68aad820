"""An environment that runs nothing: it proves the harness, and shows how small the contract is.

Its clusters are marked files in a folder, its times come from ``serial + parallel / workers`` with
lognormal noise (seeded by the run's id), its logs are real ``:::BENCH``
logs that claim those times. Reports say that the kind is ``fake``.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.contracts import Cluster, Environment, Execution, Facts, Finding, MetricSource, Outcome
from bench.digests import digest
from bench.directories import work_root, work_roots
from bench.errors import LaunchFailed
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.results import Machine, MachineUse
from bench.records.study import EnvironmentSpec
from bench.text import plural

KIND = "fake"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``serial``, ``parallel`` and ``startup`` are simulated seconds; ``sleep`` are real ones.

    ``fail_workers``, ``hang_workers`` and ``refuse_workers`` list worker counts whose runs fail,
    never end, or cannot be opened; ``capacity`` is the largest worker count there is.
    """

    serial: float = 1.0
    parallel: float = 8.0
    startup: float = 0.5
    noise: float = 0.02
    sleep: float = 0.0
    objective: float = 0.5
    capacity: int = 64
    fail_workers: tuple[int, ...] = ()
    hang_workers: tuple[int, ...] = ()
    refuse_workers: tuple[int, ...] = ()


def build(spec: EnvironmentSpec) -> Environment:
    """Build the environment from its study entry."""
    return FakeEnvironment(msgspec.convert(spec.settings, Settings), work_root() / "fake")


MACHINE = Machine(
    digest=digest("fake machine"), cpu_model="none (fake)", cores=64, memory=1 << 38, os="none"
)


class FakeEnvironment(Environment):
    """Clusters as files in ``folder``."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Keep both; nothing is created yet."""
        self._settings = settings
        self._folder = folder

    @classmethod
    def identity(cls) -> Mapping[str, str]:
        """Return the pretended machine's model."""
        return {"cpu_model": MACHINE.cpu_model}

    def check(self, job: Job, need: ClusterSpec) -> Sequence[Finding]:
        """Find only that the capacity is too small."""
        if need.workers <= self._settings.capacity:
            return ()
        return (
            Finding(
                severity="error",
                scope="cell",
                what=f"{need.workers} workers are more than the capacity {self._settings.capacity}",
                remedy="ask for fewer workers",
            ),
        )

    def open(self, need: ClusterSpec, owner: Owner) -> Cluster:
        """Write the marked file that stands for the cluster."""
        return FakeCluster(self._settings, self._folder, need, owner)

    def leftovers(self) -> Iterable[FakeLeftover]:
        """List marked files."""
        for path in sorted(p for root in work_roots() for p in root.glob("fake/*/owner.json")):
            yield FakeLeftover(path.parent, msgspec.json.decode(path.read_bytes(), type=Owner))


ENVIRONMENT = FakeEnvironment


class FakeLeftover:
    """A marked file that still exists."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        """Keep both."""
        self._folder = folder
        self.owner = owner

    def describe(self) -> str:
        """Say whose it is."""
        return f"fake cluster {self._folder.name} of study {self.owner.study}"

    def remove(self) -> None:
        """Delete the file."""
        shutil.rmtree(self._folder)


class FakeCluster(Cluster):
    """A marked folder."""

    def __init__(self, settings: Settings, root: Path, need: ClusterSpec, owner: Owner) -> None:
        """Create it whole, or leave nothing."""
        self._settings = settings
        self._folder = root / owner.mark
        self._folder.mkdir(parents=True)
        partial = self._folder / "owner.partial"
        partial.write_bytes(msgspec.json.encode(owner))
        partial.rename(self._folder / "owner.json")
        try:
            self.adapt(need)
        except LaunchFailed:
            self.close()
            raise

    def adapt(self, need: ClusterSpec) -> None:
        """Take another worker count."""
        if need.workers in self._settings.refuse_workers:
            raise LaunchFailed(f"the fake refuses to open {plural(need.workers, 'worker')}")
        self.need = need
        uses = tuple(
            MachineUse(machine=MACHINE.digest, role="worker", seconds=0.0)
            for _ in range(need.workers)
        )
        phases = {"provision": 0.0, "launch": self._settings.startup}
        self.facts = Facts(machines={MACHINE.digest: MACHINE}, uses=uses, phases=phases)

    def submit(self, job: Job) -> Execution:
        """Begin to pretend."""
        return FakeExecution(self._settings, job, self.need.workers)

    def sources(self) -> Sequence[MetricSource]:
        """Have none."""
        return ()

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


class FakeExecution:
    """Sleeps as told, then claims what the settings say."""

    def __init__(self, settings: Settings, job: Job, workers: int) -> None:
        """Begin."""
        self._settings = settings
        self._job = job
        self._workers = workers
        self._end = time.monotonic() + settings.sleep
        self._cancelled = False

    def lines(self) -> Iterator[tuple[int, str]]:
        """Have nothing to tell while it sleeps."""
        return iter(())

    def wait(self, timeout: float) -> bool:
        """Wait until the sleep is over; a hanging run never is."""
        left = self._end - time.monotonic()
        hangs = self._workers in self._settings.hang_workers
        if not self._cancelled and (hangs or left > timeout):
            time.sleep(timeout)
            return False
        if left > 0 and not self._cancelled:
            time.sleep(left)
        return True

    def cancel(self) -> None:
        """End it."""
        self._cancelled = True

    def collect(self, folder: Path) -> Outcome:
        """Write the log that it claims to have written."""
        log = folder / "rank-0.log"
        work = self._write(log)
        failed = self._cancelled or self._workers in self._settings.fail_workers
        return Outcome(
            status="failed" if failed else "ok",
            reason="the fake was told to fail" if failed else "",
            logs={0: log},
            machines=(MACHINE.digest,),
            seconds=self._settings.startup + work,
            worker_cpu=work * self._workers,
        )

    def _write(self, log: Path) -> float:
        settings, job = self._settings, self._job
        noise = random.Random(job.run).lognormvariate(0.0, settings.noise)
        train = (settings.serial + settings.parallel / self._workers) * noise
        lines = _Lines(job.run)
        lines.add("begin", 0.0, versions={"fake": "1"})
        lines.add("ready", 0.0, workers=self._workers)
        for role, data in job.datasets.items():
            known = digest(msgspec.to_builtins(data))
            lines.add("dataset", 0.0, role=role, name=data.name, digest=known)
        for number in range(job.passes):
            lines.add("pass", 0.0, **{"pass": number})
            stage = {"pass": number, "name": "train"}
            lines.add("stage", train, seconds=train, cpu_seconds=train, **stage)
        vector = {"count": 1, "norm": 1.0, "projections": [1.0]}
        model = {"auc": 0.75, "converged": True, "iterations": 10, "vector": vector}
        lines.add("quality", 0.0, figures={"objective": settings.objective, **model})
        if self._workers not in settings.fail_workers:
            lines.add("end", 0.0)
        log.write_text("\n".join(lines.texts) + "\n")
        return train * job.passes


class _Lines:
    """Lines of a log with a simulated clock."""

    def __init__(self, run: str) -> None:
        self.texts: list[str] = []
        self._run = run
        self._mono, self._wall = time.monotonic_ns(), time.time_ns()

    def add(self, event: str, later: float, **fields: object) -> None:
        """Add a line ``later`` seconds after the one before."""
        self._mono += int(later * 1e9)
        self._wall += int(later * 1e9)
        line = {
            "v": 1,
            "run": self._run,
            "seq": len(self.texts),
            "mono_ns": self._mono,
            "wall_ns": self._wall,
            "event": event,
            **fields,
        }
        self.texts.append(":::BENCH " + json.dumps(line))
