"""Hosts that one owns, reached by SSH: a list of machines with an engine installed."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from bench.contracts import Environment, Finding
from bench.engines.spark import SparkEngine
from bench.engines.tensorflow import TensorFlowEngine
from bench.environments.base import GIB, HostEnvironment
from bench.errors import EnvironmentUnfit, LaunchFailed
from bench.hosts.inventory import Entry, Inventory
from bench.hosts.link import Address, known_hosts, need_asyncssh
from bench.model import EnvironmentSpec, Job, Machine, Need
from bench.units import plural

KIND = "ssh"
PACKAGES = {"spark": "pyspark", "tensorflow": "tensorflow"}
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Secret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret is found: an environment variable or a file; never the secret itself."""

    env: str | None = None
    file: str | None = None

    def read(self, what: str) -> str:
        """Return the secret; EnvironmentUnfit where there is none."""
        if (self.env is None) == (self.file is None):
            raise EnvironmentUnfit(f"{what}: say either env or file")
        if self.env is not None:
            if self.env not in os.environ:
                raise EnvironmentUnfit(f"{what}: the variable {self.env} is not set")
            return os.environ[self.env]
        try:
            return Path(str(self.file)).expanduser().read_text().rstrip("\n")
        except OSError as error:
            what = f"{what}: the file {self.file} cannot be read: {error.strerror}"
            raise EnvironmentUnfit(what) from error


class HostSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine; what is not said is the environment's own ``user``, ``port``, ``key`` ...

    ``internal`` is the address by which the hosts find each other, where that is another one.
    """

    address: str
    port: Port | None = None
    user: str | None = None
    key: str | None = None
    python: str | None = None
    internal: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``hosts`` are addresses or tables; the first that answer carry the workers, one each.

    The driver runs on ``driver_host`` (of the hosts; it then carries no worker), else beside
    worker 0. Without ``key`` the keys of the SSH agent and the user's default keys are tried.
    ``spares`` hosts may fail and be replaced; ``at_once`` hosts are prepared in parallel.
    ``folder`` is below the home folder over there.
    """

    secrets: ClassVar[tuple[str, ...]] = ("passphrase",)

    hosts: Annotated[tuple[str | HostSpec, ...], msgspec.Meta(min_length=1)]
    driver_host: str | None = None
    user: str | None = None
    port: Port = 22
    key: str | None = None
    passphrase: Secret | None = None
    known_hosts: str = "~/.ssh/known_hosts"
    python: str = "python3"
    spares: Annotated[int, msgspec.Meta(ge=0)] = 1
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16
    folder: Annotated[str, msgspec.Meta(pattern=r"^\.?\w[\w-]*(/\.?\w[\w-]*)*$")] = (
        ".cache/benchcast"
    )


class SshEnvironment(HostEnvironment):
    """Spark and TensorFlow on machines of an inventory."""

    def __init__(self, inventory: Inventory) -> None:
        """Keep the inventory; nothing is connected yet."""
        super().__init__(inventory, {"spark": SparkEngine(), "tensorflow": TensorFlowEngine()})
        self.inventory = inventory

    def check(self, job: Job, need: Need) -> Sequence[Finding]:
        """Say what the hosts lack: their number, memory, the engine; which do not answer."""
        if need.engine not in self.engines:
            return super().check(job, need)
        if need.workers > self.inventory.capacity:
            what = f"{plural(need.workers, 'worker')}: there are {self.inventory.capacity} hosts"
            return [_against(what, "list more hosts, or ask for fewer workers")]
        findings = list(self.engines[need.engine].fits(need))
        usable = 0
        for name, told in self._probed.items():
            if isinstance(told, LaunchFailed):
                finding = Finding(
                    severity="warning", scope="study", what=told.what, remedy=told.remedy
                )
                findings.append(finding)
                continue
            usable += 1
            findings += self._host_findings(name, told, need)
        if usable < need.workers:
            what = f"{plural(need.workers, 'worker')}: {usable} hosts can be used"
            findings.append(_against(what, "see why the others cannot"))
        return findings

    def _host_findings(self, name: str, machine: Machine, need: Need) -> list[Finding]:
        findings = []
        if need.worker.memory > machine.memory:
            asked, there = need.worker.memory / GIB, machine.memory / GIB
            what = f"worker.memory = {asked:.1f} GiB: host {name} has {there:.1f} GiB"
            findings.append(_against(what, "ask for less memory"))
        if need.worker.cores > machine.cores:
            what = f"worker.cores = {need.worker.cores}: host {name} has {machine.cores}"
            findings.append(_against(what, "ask for fewer cores"))
        if not self._installed(name, PACKAGES[need.engine]):
            what = f"host {name}: its Python has no {PACKAGES[need.engine]}"
            remedy = "install it there, or say python = the interpreter that has it"
            findings.append(_against(what, remedy))
        return findings

    @functools.cached_property
    def _probed(self) -> Mapping[str, Machine | LaunchFailed]:
        return self.inventory.probe()

    @functools.cached_property
    def _known(self) -> dict[tuple[str, str], bool]:
        return {}

    def _installed(self, name: str, package: str) -> bool:
        if (name, package) not in self._known:
            self._known[name, package] = self.inventory.has(name, package)
        return self._known[name, package]


def build(spec: EnvironmentSpec) -> Environment:
    """Return the environment of a study's hosts; EnvironmentUnfit for what contradicts itself."""
    need_asyncssh()
    settings = msgspec.convert(dict(spec.settings), Settings)
    entries = [_entry(host, settings) for host in settings.hosts]
    names = [entry.address.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise EnvironmentUnfit(f"environment {spec.name!r}: host {name} is listed twice")
    if settings.driver_host is not None and settings.driver_host not in names:
        raise EnvironmentUnfit(
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
    return SshEnvironment(inventory)


def _entry(host: str | HostSpec, settings: Settings) -> Entry:
    one = HostSpec(address=host) if isinstance(host, str) else host
    key = one.key or settings.key
    secret = settings.passphrase
    address = Address(
        name=one.address,
        port=one.port or settings.port,
        user=one.user or settings.user,
        key=None if key is None else Path(key).expanduser(),
        known_hosts=known_hosts(settings.known_hosts),
        python=one.python or settings.python,
        passphrase=None if secret is None else secret.read("passphrase"),
    )
    return Entry(address=address, internal=one.internal)


def _against(what: str, remedy: str) -> Finding:
    return Finding(severity="error", scope="cell", what=what, remedy=remedy)
