"""An environment of hosts and an engine, for every provider of hosts."""

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
        """``engines`` maps the engine names of workloads to engines."""
        self.provider = provider
        self.engines = dict(engines)

    def machines(self, spec: ClusterSpec) -> int:
        """Return 1 if the hosts are parts of one machine, else one machine for each worker."""
        return 1 if isinstance(self.provider, SingleMachine) else spec.workers

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Report what the engine lacks, and whether a shared machine is too small."""
        if spec.engine not in self.engines:
            engines = ", ".join(sorted(self.engines))
            what = f"the engine {spec.engine!r} does not run here; engines here: {engines}"
            return [Finding(severity="error", scope="cell", what=what)]
        findings = list(self.engines[spec.engine].check(spec))
        if isinstance(self.provider, SingleMachine):
            findings += capacity_findings(self.provider.machine_capacity(), spec)
        return findings

    def open(self, spec: ClusterSpec, owner: Owner) -> Cluster:
        """Acquire and limit hosts and launch the engine; undo everything if a step fails."""
        if spec.engine not in self.engines:
            raise UnsuitableEnvironment(f"the engine {spec.engine!r} does not run here")
        return HostCluster(self.provider, self.engines, spec, owner)

    def owned(self) -> Iterable[OwnedResource]:
        """List the provider's resources with an owner's tag."""
        return self.provider.owned()

    def close(self) -> None:
        """End the provider's connections."""
        self.provider.close()


class HostCluster(Cluster, Adaptable):
    """Hosts with a running engine; it keeps the hosts when it adapts.

    ``facts.phases`` are those of the last opening or adapting (provision, launch); after
    ``close`` there is only teardown. ``facts.uses`` lists the present machines; after ``close``
    every machine that the cluster ever had. Hosts on one machine count as one machine, and so
    does a driver beside a worker.
    """

    def __init__(
        self,
        provider: HostProvider,
        engines: Mapping[str, Engine],
        spec: ClusterSpec,
        owner: Owner,
    ) -> None:
        """Provision hosts and launch the engine; undo everything if a step fails."""
        self.facts = Facts()
        self.owner = owner
        self._provider = provider
        self._engines = engines
        self._inner: Cluster | None = None
        self._hosts_since: list[tuple[Host, float]] = []  # driver first; since when, monotonic
        self._past: list[MachineUse] = []  # of machines that adapting released
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
        """Keep suitable hosts, add or release others, and relaunch the engine."""
        try:
            self._stop_engine()
        except BaseException:
            self.close()
            raise
        self._become(spec)

    def close(self) -> None:
        """Stop the engine and release every host; idempotent."""
        began = time.monotonic()
        if not self._hosts_since and self._inner is None:
            return
        uses = (*self._past, *self._uses())
        try:
            self._stop_engine()
        finally:
            self._release(self._hosts_since)
            self._hosts_since = []
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
        """Get exactly one driver and ``spec.workers`` workers, and limit each to its shape."""
        self._replace_hosts(lambda hosts: self._provider.scale(hosts, spec, self.owner))
        if isinstance(self._provider, InstallsEngines):
            install, engine = self._provider.install_engine, self._engines[spec.engine]
            self._replace_hosts(lambda hosts: install(hosts, engine))
        for number, host in enumerate(self._hosts()):
            host.limit(spec.worker if number else spec.driver)

    def _replace_hosts(self, change: Callable[[list[Host]], list[Host]]) -> None:
        """Replace the hosts by ``change(hosts)`` and remember the machines that it released.

        A new host at the address of a released one continues the use of that machine.
        """
        now, before = time.monotonic(), self._each()
        since = {id(host): began for host, began in self._hosts_since}
        self._hosts_since = [(host, since.get(id(host), now)) for host in change(self._hosts())]
        present = {id(host) for host in self._hosts()}
        stay = {host.address for host, _ in before if id(host) in present}
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
            for number, (host, since) in enumerate(self._hosts_since)
        ]

    def _hosts(self) -> list[Host]:
        return [host for host, _ in self._hosts_since]

    def _release(self, hosts_since: Sequence[tuple[Host, float]]) -> None:
        self._provider.release([host for host, _ in hosts_since])

    def _stop_engine(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()


def _machines(each: Sequence[tuple[Host, MachineUse]]) -> tuple[MachineUse, ...]:
    """Return one use for each address, preferably a worker's."""
    uses: dict[str, MachineUse] = {}
    for host, use in each:
        if host.address not in uses or uses[host.address].role == "driver":
            uses[host.address] = use
    return tuple(uses.values())


def capacity_findings(capacity: Capacity, spec: ClusterSpec) -> list[Finding]:
    """Report whether workers and driver together fit on one machine."""
    findings: list[Finding] = []
    memory = spec.workers * spec.worker.memory + spec.driver.memory
    workers = plural(spec.workers, "worker")
    asked = f"{workers} and the driver need {memory / GIB:.1f} GiB"
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
        remedy = "times will show contention, not scaling; set a smaller cpu_limit"
        findings.append(Finding(severity="warning", scope="cell", what=what, remedy=remedy))
    return findings
