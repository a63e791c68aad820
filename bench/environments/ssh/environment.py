"""A list of the user's own machines, reached by SSH.

uv installs the engine on them, unless the study names an interpreter that has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.contracts import THIS_MACHINE, Cache, Environment, Finding
from bench.engines import ENGINES
from bench.environments.host_environment import GIB, HostEnvironment
from bench.environments.ssh.provider import Entry, SshProvider
from bench.environments.ssh.settings import HostSpec, Settings
from bench.errors import LaunchFailed, UnsuitableEnvironment
from bench.hosts.login import Address, key_file, known_hosts, need_asyncssh
from bench.hosts.workspace import Answer
from bench.records.cluster import ClusterSpec
from bench.records.results import Machine
from bench.records.study import EnvironmentSpec
from bench.secrets import read
from bench.text import plural
from bench.units import format_memory, parse_duration, parse_memory

KIND = "ssh"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MEMORY_SHARE = 0.9  # of the nominal memory: the kernel reserves some of it
Reasons = Callable[[Sequence[str]], Mapping[str, str | None]]


class SshEnvironment(HostEnvironment):
    """Spark and TensorFlow on SSH hosts."""

    kind = KIND

    def __init__(self, provider: SshProvider, settings: Settings) -> None:
        """Prepare the environment; it connects when it is first asked."""
        super().__init__(provider, ENGINES)
        self.provider: SshProvider = provider
        self._entries = {host.address: host for host in settings.table()}
        self._driver_apart = settings.driver_host is not None
        self._reasons: dict[tuple[str, str], str | None] = {}

    def machines(self, spec: ClusterSpec) -> int:
        """Return the workers' machines, and the driver's where it has one of its own."""
        return spec.workers + self._driver_apart

    def machines_used(self) -> frozenset[str]:
        """Return the hosts by address; an address of loopback is this machine."""
        return frozenset(THIS_MACHINE if name in LOOPBACK else name for name in self._entries)

    def creates(self, spec: ClusterSpec) -> str:
        """Describe how many hosts are used and what is installed on them."""
        hosts = f"up to {self.machines(spec)} of {plural(len(self._entries), 'host')}"
        built = any(self.provider.builds(name) for name in self._entries)
        what = "a Python environment on each, once; " if built else ""
        return f"{what}processes and folders on {hosts}, one cluster at a time"

    def caches(self) -> Iterable[Cache]:
        """Return the hosts' caches."""
        return self.provider.caches()

    def check(self, spec: ClusterSpec) -> Sequence[Finding]:
        """Report too few hosts, those that do not answer, and those without memory or engine.

        It asks no more hosts than the cluster needs.
        """
        if spec.engine not in self.engines:
            return super().check(spec)
        if spec.workers > self.provider.capacity:
            what = f"{plural(spec.workers, 'worker')}: there are {self.provider.capacity} hosts"
            return [_error(what, "list more hosts, or ask for fewer workers")]
        findings = list(self.engines[spec.engine].fits(spec))
        wanted = spec.workers + self._driver_apart
        answers, unbuilt = self._ask(spec)
        usable = {name: answer for name, answer in answers.items() if isinstance(answer, Machine)}
        failures = [answer for answer in answers.values() if isinstance(answer, LaunchFailed)]
        findings += [_warning(failure.what, failure.remedy) for failure in failures]
        few = len(usable) - len(unbuilt) < wanted
        for name, reason in unbuilt.items():
            what = f"host {name}: no Python environment for {spec.engine}: {reason}"
            finding = _error if few else _warning
            findings.append(finding(what, "set python = an interpreter that has the engine"))
            del usable[name]
        for name, machine in usable.items():
            findings += [*self._differs(name, machine), *_too_small(name, machine, spec)]
        if few:
            hosts = plural(len(usable), "host")
            what = f"{plural(spec.workers, 'worker')}: {hosts} can be used"
            findings.append(_error(what, "see the reasons of the others"))
        return [*findings, *self._software(list(usable), spec)]

    def _ask(self, spec: ClusterSpec) -> tuple[Mapping[str, Answer], dict[str, str]]:
        """Ask as many hosts as the cluster needs, and others for those without the engine.

        Returns the answers, and by host why no Python environment can be built.
        """
        unbuilt: dict[str, str] = {}
        while True:
            answers = self.provider.ask(spec.workers + len(unbuilt))
            names = [name for name, answer in answers.items() if isinstance(answer, Machine)]
            building = [name for name in names if self.provider.builds(name)]
            engine = self.engines[spec.engine]
            self._learn(
                engine.name,
                building,
                functools.partial(self.provider.why_not_installable, engine=engine),
            )
            reasons = {name: self._reasons[spec.engine, name] for name in building}
            more = {name: why for name, why in reasons.items() if why is not None}
            if len(more) == len(unbuilt):
                return answers, more
            unbuilt = more

    def _differs(self, name: str, machine: Machine) -> list[Finding]:
        """Report where the machine differs from the study's host entry."""
        expected = self._entries[name]
        findings = []
        if expected.cores is not None and expected.cores != machine.cores:
            what = (
                f"host {name}: the study says {expected.cores} cores, the host has {machine.cores}"
            )
            findings.append(_warning(what, "the host's value is used"))
        memory = None if expected.memory is None else parse_memory(expected.memory)
        if memory is not None and not memory * MEMORY_SHARE <= machine.memory <= memory:
            what = f"host {name}: the study says {expected.memory}, the host has "
            what += format_memory(machine.memory)
            findings.append(_warning(what, "the host's value is used"))
        return findings

    def _software(self, names: Sequence[str], spec: ClusterSpec) -> list[Finding]:
        """Report hosts without the engine, or without the right to limit CPU time."""
        package = self.engines[spec.engine].package
        findings = []
        for name in names:
            built = self.provider.builds(name)
            if not built and self.provider.package(name, package) is None:
                what = f"host {name}: its Python has no {package}"
                findings.append(
                    _error(what, "install it there, or drop python: uv then builds an environment")
                )
        limits = {spec.worker.cpu_limit, spec.driver.cpu_limit} - {None}
        if limits:
            self._learn("cpu_limit", names, self.provider.why_no_cpu_limits)
            for name in names:
                if (reason := self._reasons["cpu_limit", name]) is not None:
                    what = f"host {name} cannot enforce cpu_limit: {reason}"
                    remedy = "drop cpu_limit, or log in as a user who may write control groups"
                    findings.append(_error(what, remedy))
        return findings

    def _learn(self, what: str, names: Sequence[str], ask: Reasons) -> None:
        """Ask each machine once for its reasons against ``what``."""
        fresh = [name for name in names if (what, name) not in self._reasons]
        self._reasons |= {(what, name): why for name, why in ask(fresh).items()}


def build(spec: EnvironmentSpec) -> Environment:
    """Return the environment of a study's hosts; UnsuitableEnvironment for contradictions."""
    need_asyncssh()
    settings = Settings.of(spec)
    entries = [_entry(host, settings) for host in settings.table()]
    names = [entry.address.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise UnsuitableEnvironment(f"environment {spec.name!r}: host {name} is listed twice")
    if settings.driver_host is not None and settings.driver_host not in names:
        raise UnsuitableEnvironment(
            f"environment {spec.name!r}: driver_host = {settings.driver_host!r} is not one of the"
            f" hosts: {', '.join(names)}"
        )
    provider = SshProvider(
        entries,
        driver=settings.driver_host,
        spares=settings.spares,
        at_once=settings.at_once,
        folder=settings.folder,
    )
    return SshEnvironment(provider, settings)


def _entry(host: HostSpec, settings: Settings) -> Entry:
    python = host.python or settings.python
    key = host.key or settings.key
    secret = settings.passphrase
    address = Address(
        name=host.address,
        port=host.port or settings.port,
        user=host.user or settings.user,
        key=None if key is None else key_file(key),
        known_hosts=known_hosts(settings.known_hosts),
        python=python or "python3",
        passphrase=None if secret is None else read(secret, "passphrase"),
        unreachable_after=parse_duration(settings.unreachable_after),
    )
    return Entry(address=address, internal=host.internal, build=python is None)


def _too_small(name: str, machine: Machine, spec: ClusterSpec) -> list[Finding]:
    findings = []
    if spec.worker.memory > machine.memory:
        asked, available = spec.worker.memory / GIB, machine.memory / GIB
        what = f"worker.memory = {asked:.1f} GiB: host {name} has {available:.1f} GiB"
        findings.append(_error(what, "ask for less memory"))
    if spec.worker.cores > machine.cores:
        what = f"worker.cores = {spec.worker.cores}: host {name} has {machine.cores}"
        findings.append(_error(what, "ask for fewer cores"))
    return findings


def _warning(what: str, remedy: str) -> Finding:
    return Finding(severity="warning", scope="study", what=what, remedy=remedy)


def _error(what: str, remedy: str) -> Finding:
    return Finding(severity="error", scope="cell", what=what, remedy=remedy)
