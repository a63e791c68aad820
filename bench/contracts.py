"""What the rooms promise each other: environments, engines, hosts and metric sources.

An environment is seven methods: ``open`` and ``owned`` of Environment, ``submit`` and ``close`` of
Cluster, ``wait``, ``cancel`` and ``collect`` of Execution. Everything else has a default, or is a
capability: a class of its own here, for those that have it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

import msgspec

from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.results import Machine, MachineUse, RunEvent
from bench.records.study import Shape

THIS_MACHINE = "this machine"  # its key among the machines that environments use


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A problem or note found before a run: blocks the study, skips one cell, or informs."""

    severity: Literal["error", "warning", "info"]
    scope: Literal["study", "cell"]
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """The finding as one line."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True)
class OwnedResource:
    """Something that carries an owner's mark and still exists; ``text`` says what, in one line.

    ``remove`` returns when it is gone.
    """

    owner: Owner
    text: str
    remove: Callable[[], None] = field(compare=False)


class Closing(ABC):
    """A context manager that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """Stop and give back everything; idempotent."""

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


# --- a kind of environment: seven methods ----------------------------------------------------


class Environment(Closing):
    """Where clusters can be opened. Whoever builds one closes it."""

    kind: ClassVar[str]

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return what prevents such a cluster here, before anything is started."""
        return ()

    @abstractmethod
    def open(self, spec: ClusterSpec, owner: Owner) -> Cluster:
        """Open a cluster, whole, or undo it and raise ``LaunchFailed``."""

    @abstractmethod
    def owned(self) -> Iterable[OwnedResource]:
        """List everything here that carries an owner's mark, whoever the owner is."""

    def close(self) -> None:
        """End connections, sessions and watches; idempotent."""

    def machines_used(self) -> frozenset[str]:
        """Return keys of machines that clusters here use; environments with one in common take
        turns, others run side by side."""
        return frozenset()

    def machines(self, spec: ClusterSpec) -> int:
        """Return how many machines a cluster takes; ``limits.machines`` bounds it."""
        return spec.workers

    def creates(self, spec: ClusterSpec) -> str:
        """Describe, for people who plan, what is created for such a cluster."""
        workers = f"{spec.workers} worker{'s' * (spec.workers != 1)}"
        return f"a driver and up to {workers}, one cluster at a time"


class Facts(msgspec.Struct, kw_only=True):
    """Machines and phases (seconds) of a cluster's last opening or adapting."""

    machines: Mapping[str, Machine] = {}
    uses: tuple[MachineUse, ...] = ()
    phases: Mapping[str, float] = {}


class Cluster(Closing):
    """An engine that is up on some hosts."""

    facts: Facts

    @abstractmethod
    def submit(self, job: Job) -> Execution:
        """Start the job and return at once."""

    def sources(self) -> Sequence[MetricSource]:
        """Return the telemetry of this cluster's hosts and platform."""
        return ()


class Execution(ABC):
    """One submitted job."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; True when it has ended."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop it, and return when it is stopped; idempotent."""

    @abstractmethod
    def collect(self, folder: Path) -> Outcome:
        """Bring logs and artefacts into ``folder``, which exists; also after a failure."""

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, text) as it comes, for progress only; may repeat or end early."""
        return iter(())


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came back of one execution; the verdict is read from ``logs`` (rank -> file).

    ``status`` is failed when the platform reports it (exit code, lost process), else ok.
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


# --- capabilities: of some clusters, environments, sources, providers and hosts --------------


@runtime_checkable
class Adaptable(Protocol):
    """A cluster that keeps its hosts and swaps the engine, taking or leaving the difference."""

    def adapt(self, spec: ClusterSpec) -> None:
        """Become such a cluster, or raise and be closed."""


class Cache(Protocol):
    """One content-addressed cache that holds something. It has no owner."""

    def describe(self) -> str:
        """Describe it in one line."""

    def busy(self) -> str:
        """Return who may be using it, or nothing."""

    def remove(self) -> None:
        """Remove it; LaunchFailed or OSError says why it cannot be."""


@runtime_checkable
class CleansCache(Protocol):
    """An environment whose hosts keep a cache."""

    def caches(self) -> Iterable[Cache]:
        """Return those of the hosts that answer; the others are warned of."""


@runtime_checkable
class ReportsEvents(Protocol):
    """A source that also saw, by the time it was stopped, what happened to the run and when."""

    def events(self) -> Sequence[RunEvent]:
        """Return it, oldest first."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one machine has: usable ``cores``; ``memory`` in all and ``available`` now, in bytes."""

    cores: int
    memory: int
    available: int


@runtime_checkable
class SingleMachine(Protocol):
    """A provider whose hosts are all parts of one machine."""

    def machine_capacity(self) -> Capacity:
        """Return what that machine has."""


@runtime_checkable
class InstallsEngines(Protocol):
    """A provider that puts an engine's own software in place on its hosts."""

    def install_engine(self, hosts: Sequence[Host], engine: Engine) -> list[Host]:
        """Install it, once a digest; return the hosts, others in place of those that failed.

        LaunchFailed names the hosts where it cannot be, when no others can take their place.
        """


@runtime_checkable
class Provisioned(Protocol):
    """A host that was made for the cluster: a clone, a cloud's machine."""

    provision_seconds: float | None  # None: not known


# --- hosts and engines -----------------------------------------------------------------------


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

    def variable(self, name: str) -> str | None:
        """Return an environment variable as a login there has it."""

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

    def throttled(self) -> float | None:
        """Return the seconds that quotas which are not its own withheld so far, where known."""


class HostProvider(Protocol):
    """Where hosts come from, whether they are there already or made."""

    def scale(self, hosts: Sequence[Host], spec: ClusterSpec, owner: Owner) -> list[Host]:
        """Return the hosts of a cluster, driver first: of ``hosts`` those that fit, and new ones.

        The others are released. On LaunchFailed nothing new is left; what fits stays the caller's.
        """

    def release(self, hosts: Sequence[Host]) -> None:
        """Stop what runs on them and give them back; idempotent."""

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries an owner's tag and still exists, every owner's."""

    def sources(self, hosts: Sequence[Host]) -> Sequence[MetricSource]:
        """Return telemetry of these hosts."""

    def close(self) -> None:
        """End connections, sessions and watches; idempotent."""


class Engine(ABC):
    """A way to run a job on given hosts, and what the rest must know of it.

    ``package`` is what a host's Python must be able to import, ``extra`` is Benchcast's extra that
    installs it, and ``distributions`` are the packages that may bring it (their versions are
    recorded). ``lock_roots`` are the locked packages that its workloads need.
    """

    name: ClassVar[str]
    title: ClassVar[str]  # as its makers write it
    package: ClassVar[str]
    extra: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    lock_roots: ClassVar[tuple[str, ...]]
    has_driver: ClassVar[bool] = True  # False: rank 0 is a worker, a driver's host would be idle
    logs_tasks: ClassVar[bool] = False  # whether a run's tasks can be read from its event log

    def fits(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return what prevents such a cluster on whatever hosts."""
        return ()

    @abstractmethod
    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return that too, and what this machine lacks to run it (an extra, Java)."""

    @abstractmethod
    def launch(self, driver: Host, workers: Sequence[Host], spec: ClusterSpec) -> Cluster:
        """Start it on the hosts: whole, or undone and LaunchFailed."""
