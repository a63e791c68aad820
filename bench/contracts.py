"""The interfaces between the packages: environments, engines, hosts and metric sources.

An environment is seven methods: ``open`` and ``owned`` of Environment, ``submit`` and ``close`` of
Cluster, ``wait``, ``cancel`` and ``collect`` of Execution. Everything else has a default or is an
optional capability, a class of its own in this file.
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
        """Return the finding as one line."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True)
class OwnedResource:
    """A resource with an owner's tag that still exists; ``text`` describes it in one line.

    ``remove`` returns when the resource is gone.
    """

    owner: Owner
    text: str
    remove: Callable[[], None] = field(compare=False)


class Closing(ABC):
    """A context manager that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """Stop and release everything; idempotent."""

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
    """A place to open clusters. The caller that builds it closes it."""

    kind: ClassVar[str]

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return what prevents this cluster here, before anything is started."""
        return ()

    @abstractmethod
    def open(self, spec: ClusterSpec, owner: Owner) -> Cluster:
        """Open a complete cluster, or undo everything and raise ``LaunchFailed``."""

    @abstractmethod
    def owned(self) -> Iterable[OwnedResource]:
        """List everything here that carries any owner's tag."""

    def close(self) -> None:
        """End connections, sessions and watches; idempotent."""

    def machines_used(self) -> frozenset[str]:
        """Return keys of the machines that clusters here use.

        Environments with a machine in common take turns, others run side by side.
        """
        return frozenset()

    def machines(self, spec: ClusterSpec) -> int:
        """Return how many machines a cluster uses; ``limits.machines`` bounds it."""
        return spec.workers

    def creates(self, spec: ClusterSpec) -> str:
        """Describe, for ``benchcast plan``, what this cluster creates."""
        workers = f"{spec.workers} worker{'s' * (spec.workers != 1)}"
        return f"a driver and up to {workers}, one cluster at a time"


class Facts(msgspec.Struct, kw_only=True):
    """Machines and phases (seconds) of a cluster's last opening or adapting."""

    machines: Mapping[str, Machine] = {}
    uses: tuple[MachineUse, ...] = ()
    phases: Mapping[str, float] = {}


class Cluster(Closing):
    """An engine that runs on some hosts."""

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
        """Copy logs and artefacts into ``folder``, which exists; also after a failure."""

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (rank, text) during the run, for progress only; may repeat or end early."""
        return iter(())


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one execution; the workload logs in ``logs`` (rank -> file) decide success.

    ``status`` is failed if the platform reports a failure (exit code, lost process), else ok.
    ``phases`` are in seconds; ``missing`` names files that could not be copied.
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
    """Telemetry of a cluster during a run; it never fails a run."""

    def start(self, interval: float) -> None:
        """Start to sample, every ``interval`` seconds if the source can choose.

        It takes one sample now and one at the end, even in a short run.
        """

    def stop(self, folder: Path) -> None:
        """End, and write the samples (Parquet) into ``folder``."""


# --- capabilities: of some clusters, environments, sources, providers and hosts --------------


@runtime_checkable
class Adaptable(Protocol):
    """A cluster that keeps its hosts for another spec and restarts the engine."""

    def adapt(self, spec: ClusterSpec) -> None:
        """Become this cluster, or raise and be closed."""


class Cache(Protocol):
    """One content-addressed cache that is not empty. It has no owner."""

    def describe(self) -> str:
        """Return a description of one line."""

    def busy(self) -> str:
        """Return who may be using it, or an empty string."""

    def remove(self) -> None:
        """Remove it; LaunchFailed or OSError gives the reason for a failure."""


@runtime_checkable
class CleansCache(Protocol):
    """An environment with caches on its hosts."""

    def caches(self) -> Iterable[Cache]:
        """Return the caches of hosts that answer; log the other hosts."""


@runtime_checkable
class ReportsEvents(Protocol):
    """A source that also reports events of the run, once it is stopped."""

    def events(self) -> Sequence[RunEvent]:
        """Return the events, oldest first."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's usable ``cores``, its ``memory`` and the memory ``available`` now, in bytes."""

    cores: int
    memory: int
    available: int


@runtime_checkable
class SingleMachine(Protocol):
    """A provider whose hosts are all parts of one machine."""

    def machine_capacity(self) -> Capacity:
        """Return that machine's capacity."""


@runtime_checkable
class InstallsEngines(Protocol):
    """A provider that installs an engine's software on its hosts."""

    def install_engine(self, hosts: Sequence[Host], engine: Engine) -> list[Host]:
        """Install it, once for each digest; return the hosts, with others instead of failed ones.

        LaunchFailed names the failed hosts if no others can replace them.
        """


@runtime_checkable
class Provisioned(Protocol):
    """A host that was created for the cluster: a clone, a cloud's machine."""

    provision_seconds: float | None  # None: unknown


# --- hosts and engines -----------------------------------------------------------------------


class Process(Protocol):
    """A process on a host; its output goes to a file (``output``, a path there), never a pipe.

    ``poll`` and ``read`` raise HostLost if the host no longer answers.
    """

    output: Path

    def read(self, offset: int = 0) -> bytes:
        """Return the bytes of its output so far, from ``offset`` on."""

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""

    def wait(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds for the exit code."""

    def kill(self) -> None:
        """End it and its children; return when they are gone; idempotent."""


class Host(Protocol):
    """A machine, or a part of one, that runs processes."""

    address: str
    python: str
    folder: Path

    def machine(self) -> Machine:
        """Return the machine's facts."""

    def free_ports(self, count: int) -> list[int]:
        """Return ``count`` ports that are free now."""

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> tuple[int, str]:
        """Run a short command; return its exit code (127: no such program) and output."""

    def package(self, name: str) -> Path | None:
        """Return the folder of a package that the host's Python has, or None."""

    def environment_variable(self, name: str) -> str | None:
        """Return an environment variable of a login on the host."""

    def http_get(self, url: str) -> str | None:
        """Return the body of an HTTP answer that the host gets, or None if there is none yet."""

    def limit(self, shape: Shape) -> None:
        """Limit the CPU of processes spawned from now on; LaunchFailed if the host cannot."""

    def put(self, source: Path, path: str) -> Path:
        """Copy a file to ``path`` below the host's folder."""

    def get(self, path: Path, target: Path) -> None:
        """Copy a file or folder of the host to ``target`` on this machine."""

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start a process in a group of its own; ``name`` names its output file."""

    def cpu_seconds(self) -> float | None:
        """Return the CPU seconds of this host's processes so far, if known."""

    def throttled(self) -> float | None:
        """Return the seconds that quotas other than its own withheld so far, if known."""


class HostProvider(Protocol):
    """A source of hosts, existing or created."""

    def scale(self, hosts: Sequence[Host], spec: ClusterSpec, owner: Owner) -> list[Host]:
        """Return a cluster's hosts, driver first: suitable ones of ``hosts``, and new ones.

        It releases the others. On LaunchFailed it removes new hosts; the caller keeps the
        suitable ones.
        """

    def release(self, hosts: Sequence[Host]) -> None:
        """Stop the hosts' processes and release the hosts; idempotent."""

    def owned(self) -> Iterable[OwnedResource]:
        """List existing resources with any owner's tag."""

    def sources(self, hosts: Sequence[Host]) -> Sequence[MetricSource]:
        """Return the telemetry of these hosts."""

    def close(self) -> None:
        """End connections, sessions and watches; idempotent."""


class Engine(ABC):
    """A way to run jobs on given hosts, and the engine's facts.

    ``package`` is the package that a host's Python must import, ``extra`` is Benchcast's extra that
    installs it, and ``distributions`` are the packages that may provide it (their versions are
    recorded). ``lock_roots`` are the locked packages that its workloads need.
    """

    name: ClassVar[str]
    title: ClassVar[str]  # the engine's official spelling
    package: ClassVar[str]
    extra: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    lock_roots: ClassVar[tuple[str, ...]]
    has_driver: ClassVar[bool] = True  # False: rank 0 is a worker, a driver's host would be idle
    logs_tasks: ClassVar[bool] = False  # whether its event log has the run's tasks

    def fits(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return what prevents this cluster on any hosts."""
        return ()

    @abstractmethod
    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Return that, and what this machine lacks to run it (an extra, Java)."""

    @abstractmethod
    def launch(self, driver: Host, workers: Sequence[Host], spec: ClusterSpec) -> Cluster:
        """Start it on the hosts; undo everything and raise LaunchFailed if that fails."""
