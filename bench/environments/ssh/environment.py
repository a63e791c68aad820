"""Hosts that one owns, reached by SSH: a list of machines.

The engine is put in place there by uv, unless the study names an interpreter that has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.contracts import THIS_MACHINE, Cache, Environment, Finding
from bench.engines import ENGINES
from bench.environments.host_environment import GIB, HostEnvironment
from bench.environments.ssh.provider import Entry, Inventory
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
MEMORY_SHARE = 0.9  # of the memory that is said: the kernel keeps some of it for itself
Reasons = Callable[[Sequence[str]], Mapping[str, str | None]]


class SshEnvironment(HostEnvironment):
    """Spark and TensorFlow on machines of an inventory."""

    kind = KIND

    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        """Keep both; nothing is connected yet."""
        super().__init__(inventory, ENGINES)
        self.inventory = inventory
        self._said = {host.address: host for host in settings.table()}
        self._apart = settings.driver_host is not None
        self._reasons: dict[tuple[str, str], str | None] = {}

    def machines(self, need: ClusterSpec) -> int:
        """Return the workers' machines, and the driver's where it has one of its own."""
        return need.workers + self._apart

    def machines_used(self) -> frozenset[str]:
        """Return the hosts by address; an address of loopback is this machine."""
        return frozenset(THIS_MACHINE if name in LOOPBACK else name for name in self._said)

    def creates(self, need: ClusterSpec) -> str:
        """Say how many hosts are used and what is put on them."""
        hosts = f"up to {self.machines(need)} of {plural(len(self._said), 'host')}"
        built = any(self.inventory.builds(name) for name in self._said)
        what = "a Python environment on each, once; " if built else ""
        return f"{what}processes and folders on {hosts}, one cluster at a time"

    def caches(self) -> Iterable[Cache]:
        """Return the hosts' caches."""
        return self.inventory.caches()

    def check(self, need: ClusterSpec) -> Sequence[Finding]:
        """Say what the hosts lack: their number, memory, the engine; which do not answer.

        No more hosts are asked than the need takes.
        """
        if need.engine not in self.engines:
            return super().check(need)
        if need.workers > self.inventory.capacity:
            what = f"{plural(need.workers, 'worker')}: there are {self.inventory.capacity} hosts"
            return [_against(what, "list more hosts, or ask for fewer workers")]
        findings = list(self.engines[need.engine].fits(need))
        wanted = need.workers + self._apart
        answers, unbuilt = self._ask(need)
        usable = {name: told for name, told in answers.items() if isinstance(told, Machine)}
        for told in answers.values():
            if isinstance(told, LaunchFailed):
                findings.append(_note(told.what, told.remedy))
        few = len(usable) - len(unbuilt) < wanted
        for name, reason in unbuilt.items():
            what = f"host {name}: no Python environment for {need.engine}: {reason}"
            say = _against if few else _note
            findings.append(say(what, "say python = an interpreter that has the engine"))
            del usable[name]
        for name, machine in usable.items():
            findings += [*self._differs(name, machine), *_too_small(name, machine, need)]
        if few:
            hosts = plural(len(usable), "host")
            what = f"{plural(need.workers, 'worker')}: {hosts} can be used"
            findings.append(_against(what, "see why the others cannot"))
        return [*findings, *self._software(list(usable), need)]

    def _ask(self, need: ClusterSpec) -> tuple[Mapping[str, Answer], dict[str, str]]:
        """Ask as many hosts as the need takes, and others for those that cannot be equipped.

        Returns the answers, and why an environment cannot be built where it cannot.
        """
        unbuilt: dict[str, str] = {}
        while True:
            answers = self.inventory.ask(need.workers + len(unbuilt))
            names = [name for name, told in answers.items() if isinstance(told, Machine)]
            building = [name for name in names if self.inventory.builds(name)]
            engine = self.engines[need.engine]
            self._learn(
                engine.name, building, functools.partial(self.inventory.unbuilt, engine=engine)
            )
            reasons = {name: self._reasons[need.engine, name] for name in building}
            more = {name: why for name, why in reasons.items() if why is not None}
            if len(more) == len(unbuilt):
                return answers, more
            unbuilt = more

    def _differs(self, name: str, machine: Machine) -> list[Finding]:
        """Say where the machine is not what the study takes it for."""
        said = self._said[name]
        findings = []
        if said.cores is not None and said.cores != machine.cores:
            what = f"host {name}: the study says {said.cores} cores, the host has {machine.cores}"
            findings.append(_note(what, "the host's value is used"))
        memory = None if said.memory is None else parse_memory(said.memory)
        if memory is not None and not memory * MEMORY_SHARE <= machine.memory <= memory:
            what = f"host {name}: the study says {said.memory}, the host has "
            what += format_memory(machine.memory)
            findings.append(_note(what, "the host's value is used"))
        return findings

    def _software(self, names: Sequence[str], need: ClusterSpec) -> list[Finding]:
        """Say where the engine or the right to limit CPU time is missing."""
        package = self.engines[need.engine].package
        findings = []
        for name in names:
            built = self.inventory.builds(name)
            if not built and self.inventory.package(name, package) is None:
                what = f"host {name}: its Python has no {package}"
                findings.append(_against(what, "install it there, or leave python to be built"))
        limits = {need.worker.cpu_limit, need.driver.cpu_limit} - {None}
        if limits:
            self._learn("cpu_limit", names, self.inventory.unlimited)
            for name in names:
                if (reason := self._reasons["cpu_limit", name]) is not None:
                    what = f"cpu_limit cannot be held on host {name}: {reason}"
                    remedy = "drop cpu_limit, or log in as a user who may write control groups"
                    findings.append(_against(what, remedy))
        return findings

    def _learn(self, what: str, names: Sequence[str], ask: Reasons) -> None:
        """Ask machines once what stands against something on them."""
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
            f"environment {spec.name!r}: driver_host = {settings.driver_host!r} is none of the"
            f" hosts: {', '.join(names)}"
        )
    inventory = Inventory(
        entries,
        driver=settings.driver_host,
        spares=settings.spares,
        at_once=settings.at_once,
        folder=settings.folder,
    )
    return SshEnvironment(inventory, settings)


def _entry(one: HostSpec, settings: Settings) -> Entry:
    python = one.python or settings.python
    key = one.key or settings.key
    secret = settings.passphrase
    address = Address(
        name=one.address,
        port=one.port or settings.port,
        user=one.user or settings.user,
        key=None if key is None else key_file(key),
        known_hosts=known_hosts(settings.known_hosts),
        python=python or "python3",
        passphrase=None if secret is None else read(secret, "passphrase"),
        unreachable_after=parse_duration(settings.patience),
    )
    return Entry(address=address, internal=one.internal, build=python is None)


def _too_small(name: str, machine: Machine, need: ClusterSpec) -> list[Finding]:
    findings = []
    if need.worker.memory > machine.memory:
        asked, there = need.worker.memory / GIB, machine.memory / GIB
        what = f"worker.memory = {asked:.1f} GiB: host {name} has {there:.1f} GiB"
        findings.append(_against(what, "ask for less memory"))
    if need.worker.cores > machine.cores:
        what = f"worker.cores = {need.worker.cores}: host {name} has {machine.cores}"
        findings.append(_against(what, "ask for fewer cores"))
    return findings


def _note(what: str, remedy: str) -> Finding:
    return Finding(severity="warning", scope="study", what=what, remedy=remedy)


def _against(what: str, remedy: str) -> Finding:
    return Finding(severity="error", scope="cell", what=what, remedy=remedy)
