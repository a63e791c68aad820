"""What the rooms promise each other: environments, engines, hosts and metric sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

import msgspec

from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.results import Machine, MachineUse, RunEvent
from bench.records.study import Shape

THIS_MACHINE = "this machine"  # its key among the machines that environments use


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that stands against a study (exit 2) or a cell of it (skipped), or is just so."""

    severity: Literal["error", "warning", "info"]
    scope: Literal["study", "cell"]
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """The finding as one line."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class Facts(msgspec.Struct, kw_only=True):
    """Machines and phases (seconds) of a cluster's last opening or adapting."""

    machines: Mapping[str, Machine] = {}
    uses: tuple[MachineUse, ...] = ()
    phases: Mapping[str, float] = {}


class Outcome(msgspec.Struct, kw_only=True):
    """What came back of one execution; the verdict is read from ``logs`` (rank -> file).

    ``status`` is failed when the platform says so (exit code, lost process), else ok.
    ``phases`` in seconds; ``missing`` names what could not be brought back.
    """

    status: Literal["ok", "failed"]
    reason: str = ""
    logs: Mapping[int, Path] = {}
    machines: tuple[str, ...] = ()
    seconds: float = 0.0  # submit -> exit
    phases: Mapping[str, float] = {}
    worker_cpu: float | None = None
    events: tuple[RunEvent, ...] = ()
    missing: tuple[str, ...] = ()


class MetricSource(Protocol):
    """Telemetry of a cluster while a run works; it never fails a run."""

    def start(self, interval: float) -> None:
        """Begin to sample, every ``interval`` seconds where it has a say in that.

        One sample is taken now and one at the end, however short the run is.
        """

    def stop(self, folder: Path) -> None:
        """End, and write what was sampled (Parquet) into ``folder``."""


@runtime_checkable
class ReportsEvents(Protocol):
    """A source that also saw, by the time it was stopped, what happened to the run and when."""

    def events(self) -> Sequence[RunEvent]:
        """Return it, oldest first."""


class Execution(Protocol):
    """One submitted job."""

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, text) as it comes, for progress only; may repeat or end early."""

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; True when it has ended."""

    def cancel(self) -> None:
        """Stop it, and return when it is stopped; idempotent."""

    def collect(self, folder: Path) -> Outcome:
        """Bring logs and artefacts into ``folder``, which exists; also after a failure."""


class Cluster(ABC):
    """An engine that is up on some hosts; a context manager that closes itself."""

    facts: Facts

    @abstractmethod
    def submit(self, job: Job) -> Execution:
        """Start the job and return at once."""

    @abstractmethod
    def sources(self) -> Sequence[MetricSource]:
        """Return the telemetry of this cluster's hosts and platform."""

    @abstractmethod
    def close(self) -> None:
        """Stop and remove everything of it; idempotent."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


@runtime_checkable
class Adaptable(Protocol):
    """A cluster that keeps its hosts and swaps the engine, taking or leaving the difference."""

    def adapt(self, need: ClusterSpec) -> None:
        """Become what ``need`` says, or raise and be closed."""


class Leftover(Protocol):
    """Something that carries an owner's mark and still exists."""

    owner: Owner

    def describe(self) -> str:
        """Say what it is, in one line."""

    def remove(self) -> None:
        """Remove it; returns when it is gone."""


class Environment(ABC):
    """A place where clusters can be opened.

    Kinds with ``shares_machine`` run on this very machine: their cells take turns, whoever's.
    """

    shares_machine: bool = False

    @classmethod
    def identity(cls) -> Mapping[str, str]:
        """Return facts of machines that are known beforehand (part of the cell key)."""
        return {}

    def machines_used(self) -> frozenset[str]:
        """Return keys of machines that clusters here use; environments with one in common take
        turns, others run side by side."""
        return frozenset()

    def machines(self, need: ClusterSpec) -> int:
        """Return how many machines a cluster takes (``limits.machines`` is held against it)."""
        return need.workers

    def creates(self, need: ClusterSpec) -> str:
        """Say what is created for a cluster of this need, for people who plan."""
        workers = f"{need.workers} worker{'s' * (need.workers != 1)}"
        return f"a driver and up to {workers}, one cluster at a time"

    @abstractmethod
    def check(self, job: Job, need: ClusterSpec) -> Sequence[Finding]:
        """Say what stands against this job here, before anything is started."""

    @abstractmethod
    def open(self, need: ClusterSpec, owner: Owner) -> Cluster:
        """Open a cluster, whole, or undo it and raise ``LaunchFailed``."""

    @abstractmethod
    def leftovers(self) -> Iterable[Leftover]:
        """List what carries an owner's mark here."""


class Process(Protocol):
    """A process on a host; its output goes to a file (``output``, a path there), never a pipe.

    ``poll`` and ``read`` raise HostLost when the host does not answer any more.
    """

    output: Path

    def read(self, offset: int = 0) -> bytes:
        """Return its output from ``offset`` on (bytes), as far as it is written."""

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""

    def wait(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds for the exit code."""

    def kill(self) -> None:
        """End it and its children; returns when they are gone; idempotent."""


class Host(Protocol):
    """A machine, or a part of one, where processes can be started."""

    address: str
    python: str
    folder: Path

    def machine(self) -> Machine:
        """Return the machine's facts."""

    def free_ports(self, count: int) -> list[int]:
        """Return ``count`` ports that were free just now."""

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> tuple[int, str]:
        """Run a short command there; return its exit code (127: no such program) and output."""

    def package(self, name: str) -> Path | None:
        """Return the folder of a package that the host's Python has, or None."""

    def ask(self, url: str) -> str | None:
        """Return the body of an HTTP answer as the host gets it, or None while there is none."""

    def limit(self, shape: Shape) -> None:
        """Hold processes spawned from now on to the CPU limit; LaunchFailed if it cannot."""

    def put(self, source: Path, path: str) -> Path:
        """Copy a file to ``path`` below the host's folder."""

    def get(self, path: Path, target: Path) -> None:
        """Copy a file or folder of the host to ``target`` here."""

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start a process in a group of its own; ``name`` names its output file."""

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that this host's processes used so far, where it is known."""


class Provider(Protocol):
    """Where hosts come from, whether they are there already or made."""

    def release(self, hosts: Sequence[Host]) -> None:
        """Stop what runs on them and give them back; idempotent."""

    def leftovers(self) -> Iterable[Leftover]:
        """List marked resources that still exist."""

    def sources(self, hosts: Sequence[Host]) -> Sequence[MetricSource]:
        """Return telemetry of these hosts."""


class HostProvider(Provider, Protocol):
    """Where hosts come from that are what they are."""

    def acquire(self, count: int, owner: Owner) -> list[Host]:
        """Return ``count`` hosts that carry the owner's mark, or raise LaunchFailed."""


@runtime_checkable
class Tailor(Provider, Protocol):
    """Where hosts come from that are made to measure."""

    def fit(self, hosts: Sequence[Host], need: ClusterSpec, owner: Owner) -> list[Host]:
        """Return a need's hosts, driver first: of ``hosts`` those that fit, and new ones.

        The others are released. On LaunchFailed nothing new is left.
        """


class Engine(Protocol):
    """Spark or TensorFlow on given hosts."""

    name: str

    def fits(self, need: ClusterSpec) -> Sequence[Finding]:
        """Say what stands against the need itself, on whatever hosts."""

    def check(self, need: ClusterSpec) -> Sequence[Finding]:
        """Say that too, and what is missing on this machine to run it (an extra, Java)."""

    def launch(self, driver: Host, workers: Sequence[Host], need: ClusterSpec) -> Cluster:
        """Start it on the hosts: whole, or undone and LaunchFailed."""
