"""Hosts that one owns, reached by SSH: a list of machines.

The engine is put in place there by uv, unless the study names an interpreter that has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec

from bench.contracts import THIS_MACHINE, Environment, Finding
from bench.engines.spark.engine import SparkEngine
from bench.engines.tensorflow.engine import TensorFlowEngine
from bench.environments.host_environment import GIB, HostEnvironment
from bench.errors import LaunchFailed, UnsuitableEnvironment
from bench.hosts import sshplace
from bench.hosts.cache import Cache
from bench.hosts.inventory import Entry, Inventory
from bench.hosts.link import Address, key_file, known_hosts, need_asyncssh
from bench.hosts.sshplace import Answer
from bench.records.cluster import ClusterSpec, Job
from bench.records.results import Machine
from bench.records.study import EnvironmentSpec
from bench.secrets import Secret, read
from bench.text import plural
from bench.units import format_memory, parse_duration, parse_memory

KIND = "ssh"
PACKAGES = {"spark": "pyspark", "tensorflow": "tensorflow"}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MEMORY_SHARE = 0.9  # of the memory that is said: the kernel keeps some of it for itself
Reasons = Callable[[Sequence[str], str], Mapping[str, str | None]]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_PRICE = re.compile(r"\d+(\.\d+)? [A-Z]{3}/h")


class HostSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One machine; what is not said is the environment's own ``user``, ``port``, ``key`` ...

    ``internal`` is the address by which the hosts find each other, where that is another one.
    ``cores`` and ``memory`` are what it is taken to have; the machine is asked. ``price`` is such
    as "0.42 EUR/h".
    """

    address: str
    port: Port | None = None
    user: str | None = None
    key: str | None = None
    python: str | None = None
    internal: str | None = None
    cores: Annotated[int, msgspec.Meta(ge=1)] | None = None
    memory: str | None = None
    price: str | None = None

    def __post_init__(self) -> None:
        """Refuse a memory or a price that cannot be read."""
        if self.memory is not None:
            parse_memory(self.memory)
        if self.price is not None and _PRICE.fullmatch(self.price) is None:
            raise ValueError(f'price = "{self.price}" is not allowed; "0.42 EUR/h" is')


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``hosts`` are addresses or tables; the first that answer carry the workers, one each.

    The driver runs on ``driver_host`` (of the hosts; it then carries no worker), else beside
    worker 0. Without ``key`` the keys of the SSH agent and the user's default keys are tried.
    Without ``python`` uv builds the engine's environment there, from Benchcast's lock.
    ``spares`` hosts may fail and be replaced; ``at_once`` hosts are prepared in parallel.
    ``folder`` is below the home folder over there. A host that is silent for ``patience`` is lost.
    """

    secrets: ClassVar[tuple[str, ...]] = ("passphrase",)
    unkeyed: ClassVar[tuple[str, ...]] = ("hosts.cores", "hosts.memory", "hosts.price")
    unrecorded: ClassVar[tuple[str, ...]] = (
        *("user", "port", "key", "passphrase", "known_hosts", "spares", "at_once", "folder"),
        *("python", "patience", "hosts.user", "hosts.port", "hosts.key", "hosts.python"),
    )

    hosts: Annotated[tuple[str | HostSpec, ...], msgspec.Meta(min_length=1)]
    driver_host: str | None = None
    user: str | None = None
    port: Port = 22
    key: str | None = None
    passphrase: Secret | None = None
    known_hosts: str = "~/.ssh/known_hosts"
    python: str | None = None
    spares: Annotated[int, msgspec.Meta(ge=0)] = 1
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = sshplace.AT_ONCE
    folder: Annotated[str, msgspec.Meta(pattern=r"^\.?\w[\w-]*(/\.?\w[\w-]*)*$")] = sshplace.FOLDER
    patience: str = "30 s"

    def __post_init__(self) -> None:
        """Let a bare address be a host of which nothing else is said; refuse no patience."""
        if parse_duration(self.patience) == 0:
            raise ValueError(f'patience = "{self.patience}" is not allowed; "30 s" is')
        hosts = tuple(HostSpec(address=h) if isinstance(h, str) else h for h in self.hosts)
        msgspec.structs.force_setattr(self, "hosts", hosts)

    def table(self) -> Sequence[HostSpec]:
        """Return the hosts, all as tables."""
        return [host for host in self.hosts if isinstance(host, HostSpec)]


class SshEnvironment(HostEnvironment):
    """Spark and TensorFlow on machines of an inventory."""

    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        """Keep both; nothing is connected yet."""
        super().__init__(inventory, {"spark": SparkEngine(), "tensorflow": TensorFlowEngine()})
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

    def check(self, job: Job, need: ClusterSpec) -> Sequence[Finding]:
        """Say what the hosts lack: their number, memory, the engine; which do not answer.

        No more hosts are asked than the need takes.
        """
        if need.engine not in self.engines:
            return super().check(job, need)
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
            self._learn(need.engine, building, self.inventory.unbuilt)
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
            what = f"host {name}: cores = {said.cores} is said, it has {machine.cores}"
            findings.append(_note(what, "the machine's own figure counts"))
        memory = None if said.memory is None else parse_memory(said.memory)
        if memory is not None and not memory * MEMORY_SHARE <= machine.memory <= memory:
            what = f'host {name}: memory = "{said.memory}" is said, it has '
            what += format_memory(machine.memory)
            findings.append(_note(what, "the machine's own figure counts"))
        return findings

    def _software(self, names: Sequence[str], need: ClusterSpec) -> list[Finding]:
        """Say where the engine or the right to limit CPU time is missing."""
        package = PACKAGES[need.engine]
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
        self._reasons |= {(what, name): why for name, why in ask(fresh, what).items()}


ENVIRONMENT = SshEnvironment


def build(spec: EnvironmentSpec) -> Environment:
    """Return the environment of a study's hosts; UnsuitableEnvironment for contradictions."""
    need_asyncssh()
    settings = msgspec.convert(dict(spec.settings), Settings)
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
        patience=parse_duration(settings.patience),
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
