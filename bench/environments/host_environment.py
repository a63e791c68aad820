"""An environment made of hosts and an engine, written once for all that provide hosts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.contracts import (
    Adaptable,
    Capacity,
    Cluster,
    Engine,
    Environment,
    Execution,
    Facts,
    Finding,
    Host,
    HostProvider,
    InstallsEngines,
    MetricSource,
    OwnedResource,
    Provisioned,
    SingleMachine,
)
from bench.errors import UnsuitableEnvironment
from bench.records.cluster import ClusterSpec, Job, Owner
from bench.records.results import MachineUse
from bench.text import plural

GIB = 1 << 30


class HostEnvironment(Environment):
    """Opens clusters by taking hosts from a provider and launching an engine on them."""

    def __init__(self, provider: HostProvider, engines: Mapping[str, Engine]) -> None:
        """``engines`` maps the names that workloads use to engines."""
        self.provider = provider
        self.engines = dict(engines)

    def machines(self, spec: ClusterSpec) -> int:
        """Return one machine for hosts that are parts of one, else one a worker."""
        return 1 if isinstance(self.provider, SingleMachine) else spec.workers

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Say what the engine lacks, and whether one shared machine is too small."""
        if spec.engine not in self.engines:
            known = ", ".join(sorted(self.engines))
            what = f"the engine {spec.engine!r} does not run here; engines here: {known}"
            return [Finding(severity="error", scope="cell", what=what)]
        findings = list(self.engines[spec.engine].check(spec))
        if isinstance(self.provider, SingleMachine):
            findings += capacity_findings(self.provider.machine_capacity(), spec)
        return findings

    def open(self, spec: ClusterSpec, owner: Owner) -> Cluster:
        """Acquire and limit hosts and launch the engine: whole, or undone and raised."""
        if spec.engine not in self.engines:
            raise UnsuitableEnvironment(f"the engine {spec.engine!r} does not run here")
        return HostCluster(self.provider, self.engines, spec, owner)

    def owned(self) -> Iterable[OwnedResource]:
        """List what carries an owner's tag at the provider's."""
        return self.provider.owned()

    def close(self) -> None:
        """End the provider's connections."""
        self.provider.close()


class HostCluster(Cluster, Adaptable):
    """Hosts with an engine on them; it keeps the hosts when it adapts.

    ``facts.phases`` are those of the last opening or adapting (provision, launch), and after
    ``close`` the teardown alone. ``facts.uses`` are of the machines that it holds, and after
    ``close`` of all that it ever held. Hosts that are parts of one machine count as one machine,
    and so does a driver beside a worker.
    """

    def __init__(
        self,
        provider: HostProvider,
        engines: Mapping[str, Engine],
        spec: ClusterSpec,
        owner: Owner,
    ) -> None:
        """Come up, or undo what had come up and raise."""
        self.facts = Facts()
        self.owner = owner
        self._provider = provider
        self._engines = engines
        self._inner: Cluster | None = None
        self._held: list[tuple[Host, float]] = []  # driver first; since when, monotonic
        self._past: list[MachineUse] = []  # of machines that were given back by adapting
        self._become(spec)

    def submit(self, job: Job) -> Execution:
        """Start the job on the engine."""
        if self._inner is None:
            raise RuntimeError("the cluster is closed")
        return self._inner.submit(job)

    def sources(self) -> Sequence[MetricSource]:
        """Return the telemetry of the hosts and of the engine."""
        inner = self._inner.sources() if self._inner is not None else []
        return [*self._provider.sources(self._hosts()), *inner]

    def adapt(self, spec: ClusterSpec) -> None:
        """Keep the hosts, take or leave the difference, and launch the engine anew."""
        try:
            self._stop_engine()
        except BaseException:
            self.close()
            raise
        self._become(spec)

    def close(self) -> None:
        """Stop the engine and give every host back; idempotent."""
        began = time.monotonic()
        if not self._held and self._inner is None:
            return
        uses = (*self._past, *self._uses())
        try:
            self._stop_engine()
        finally:
            self._release(self._held)
            self._held = []
        phases = {"teardown": time.monotonic() - began}
        self.facts = Facts(machines=self.facts.machines, uses=uses, phases=phases)

    def _become(self, spec: ClusterSpec) -> None:
        try:
            began = time.monotonic()
            self._provision(spec)
            provisioned = time.monotonic()
            driver, *workers = self._hosts()
            self._inner = self._engines[spec.engine].launch(driver, workers, spec)
            launch = time.monotonic() - provisioned
        except BaseException:
            self.close()
            raise
        phases = {"provision": provisioned - began, "launch": launch}
        machines = {machine.digest: machine for machine in (h.machine() for h in self._hosts())}
        self.facts = Facts(machines=machines, uses=self._uses(), phases=phases)

    def _provision(self, spec: ClusterSpec) -> None:
        """Have exactly one driver and ``spec.workers`` workers, each held to its shape."""
        self._hold(lambda hosts: self._provider.scale(hosts, spec, self.owner))
        if isinstance(self._provider, InstallsEngines):
            install = self._provider.install_engine
            self._hold(lambda hosts: install(hosts, self._engines[spec.engine]))
        for number, host in enumerate(self._hosts()):
            host.limit(spec.worker if number else spec.driver)

    def _hold(self, change: Callable[[list[Host]], list[Host]]) -> None:
        """Have the hosts that ``change`` makes of these, and remember the machines that went.

        A host that is new may be at the address of one that went: that one does not count.
        """
        now, before = time.monotonic(), self._each()
        since = {id(host): began for host, began in self._held}
        self._held = [(host, since.get(id(host), now)) for host in change(self._hosts())]
        held = {id(host) for host in self._hosts()}
        stay = {host.address for host, _ in before if id(host) in held}
        self._past += _machines([(h, use) for h, use in before if h.address not in stay])

    def _uses(self) -> tuple[MachineUse, ...]:
        """Return how long each machine has been held."""
        return _machines(self._each())

    def _each(self) -> list[tuple[Host, MachineUse]]:
        """Return how long each host has been held."""
        now = time.monotonic()
        return [
            (
                host,
                MachineUse(
                    machine=host.machine().digest,
                    role="worker" if number else "driver",
                    seconds=now - since,
                    provision_seconds=host.provision_seconds
                    if isinstance(host, Provisioned)
                    else None,
                ),
            )
            for number, (host, since) in enumerate(self._held)
        ]

    def _hosts(self) -> list[Host]:
        return [host for host, _ in self._held]

    def _release(self, held: Sequence[tuple[Host, float]]) -> None:
        self._provider.release([host for host, _ in held])

    def _stop_engine(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()


def _machines(each: Sequence[tuple[Host, MachineUse]]) -> tuple[MachineUse, ...]:
    """Return one use for each address, a worker's where there is one: parts of one machine, too."""
    uses: dict[str, MachineUse] = {}
    for host, use in each:
        if host.address not in uses or uses[host.address].role == "driver":
            uses[host.address] = use
    return tuple(uses.values())


def capacity_findings(capacity: Capacity, spec: ClusterSpec) -> list[Finding]:
    """Say whether workers and driver together fit on one machine."""
    findings: list[Finding] = []
    memory = spec.workers * spec.worker.memory + spec.driver.memory
    workers = plural(spec.workers, "worker")
    asked = f"{workers} and the driver ask for {memory / GIB:.1f} GiB"
    if memory > capacity.memory:
        what = f"{asked}; this machine has {capacity.memory / GIB:.1f} GiB"
        remedy = "use fewer workers or less memory for each"
        findings.append(Finding(severity="error", scope="cell", what=what, remedy=remedy))
    elif memory > capacity.available:
        what = f"{asked}; {capacity.available / GIB:.1f} GiB are free on this machine now"
        findings.append(Finding(severity="warning", scope="cell", what=what))
    share = spec.worker.cpu_limit
    wanted = spec.workers * (spec.worker.cores if share is None else share)
    if wanted > capacity.cores:
        what = f"oversubscribed: {workers} want {wanted:g} cores of {capacity.cores}"
        remedy = "times will show contention, not scaling; a cpu_limit makes workers smaller"
        findings.append(Finding(severity="warning", scope="cell", what=what, remedy=remedy))
    return findings
